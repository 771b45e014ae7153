"""All that one launch will do, known before it does any of it; a dry run shows it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from launchers.aws.masking import masked
from launchers.aws.storage import Upload
from sweepmaker.config.errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """One call, and what has to lie in S3 before.

    Attributes:
        operation: boto3's name of the call.
        request: its arguments.
        code: the source bundle.
        trials: training jobs at most.
        instance_hours: what all of them may take at most.
        data: of what is uploaded besides: a line for each.
    """

    operation: str
    request: dict[str, Any]
    code: Upload
    trials: int
    instance_hours: float
    data: Sequence[str] = ()


def instance_hours(cfg: DictConfig, trials: int) -> float:
    """The most hours of machines that the trials may take: every one until its time is over.

    Raises:
        ConfigError: more than ``job.max_instance_hours``.
    """
    job = cfg.job
    machines = max((one.get("count", 1) for one in job.instances), default=job.instance_count)
    seconds = trials * job.max_runtime_s
    if job.max_tuning_s is not None:
        seconds = min(seconds, job.max_parallel_jobs * job.max_tuning_s)
    hours = float(seconds * machines) / 3600
    if job.max_instance_hours is not None and hours > job.max_instance_hours:
        raise ConfigError(
            f"{trials} trials of {job.max_runtime_s} s on {machines} machines may take {hours:g} hours",
            key="job.max_instance_hours",
            allowed=f"at most {job.max_instance_hours:g}",
            fix=f"fewer (job.max_jobs), shorter (job.max_runtime_s), or job.max_instance_hours={hours:g}",
        )
    return hours


def show(plan: Plan) -> None:
    """The dry run: the request alone on stdout, what surrounds it on stderr."""
    for line in summary(plan):
        print(line, file=sys.stderr)
    print(json.dumps({"operation": plan.operation, "request": plan.request}, indent=2), flush=True)


def summary(plan: Plan) -> list[str]:
    """What would be uploaded with its size, how many trials, and the bound on instance hours."""
    lines = [
        f"upload: {plan.code.what}, {megabytes(plan.code.size)} -> {plan.code.key}",
        *(f"upload: {line}" for line in plan.data),
        f"trials: at most {plan.trials}; machines: at most {plan.instance_hours:g} instance hours",
    ]
    return [masked(line) for line in lines]


def megabytes(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
