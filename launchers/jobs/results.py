"""A collected job in the words of the run folder: ``run.json``, the best values, the sweep's files."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from launchers.aws.masking import masked
from launchers.jobs.standing import TRAINING, Job, Trial
from sweepmaker.run.atomic import write_json, write_text
from sweepmaker.run.record import SCHEMA

_STATES = {"Completed": "completed", "Failed": "failed", "Stopped": "stopped"}
_ENDED_WELL = ("completed", "stopped")  # a run that a rule stopped has completed, to the service


def write_record(run: Path, job: Job, trial: Trial, where: Mapping[str, str], lines: Sequence[str]) -> None:
    """Make ``run.json`` say what the service says; a trial that left none gets one.

    Args:
        run: the trial's folder.
        job: that it belongs to.
        trial: ended.
        where: name and region of the services.
        lines: overrides that all trials have in common.
    """
    path = run / "run.json"
    record = _left(path)
    state = _STATES.get(trial.status, "failed")
    if state != "completed" or record.get("state") not in _ENDED_WELL:
        record["state"] = state
    if state == "failed":
        reason = masked(trial.reason) or "SageMaker gave no reason"
        record["failure"] = record.get("failure") or {"type": "TrainingJob", "message": reason, "frames": []}
    else:
        record["failure"] = None
    if not record.get("overrides"):
        record["overrides"] = replayed(lines, trial.tuned)
    if not (record.get("objective") or {}).get("name") and job.metric:
        name = job.metric.removesuffix("_best")
        record["objective"] = {"name": name, "mode": job.mode, "value": trial.value}
    times = {"start": _iso(trial.started or trial.created), "end": _iso(trial.ended_at)}
    timing: dict[str, Any] = record.get("timing") or {}
    record["timing"] = (
        {"fit_seconds": 0.0} | times | {key: value for key, value in timing.items() if value is not None}
    )
    record["job"] = {
        **where,
        "name": trial.name,
        "arn": trial.arn,
        "status": trial.status,
        "tuning_job": None if job.kind == TRAINING else job.name,
    }
    write_json(path, record)
    when = int((trial.ended_at or trial.created or job.created).timestamp())
    os.utime(path, (when, when))


def _left(path: Path) -> dict[str, Any]:
    """The trial's own record, or the fields that every one has."""
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and "state" in found:
            return found
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError):
        path.replace(path.with_name("run.json.broken"))
    empty = dict.fromkeys(
        ("pid", "host", "heartbeat", "objective", "seed", "weights", "data", "git", "failure")
    )
    return {"schema": SCHEMA, "state": "", **empty, "heartbeat": "", "overrides": [], "choices": {},
            "versions": {}, "hardware": {}, "timing": {}}  # fmt: skip


def replayed(lines: Sequence[str], tuned: Mapping[str, str]) -> list[str]:
    """The overrides of one trial: ``lines`` with each swept key's value in its place."""
    left = dict(tuned)
    found = []
    for line in lines:
        key = line.partition("=")[0]
        found.append(f"{key}={left.pop(key)}" if key in left else line)
    return found + [f"{key}={value}" for key, value in sorted(left.items())]


def best_of(job: Job) -> Trial | None:
    """The best trial that ended; the service's own word where it has one."""
    if job.best is not None:
        return next((one for one in job.trials if one.name == job.best.name), job.best)
    sign = 1 if job.mode == "min" else -1
    counted = [one for one in job.trials if one.value is not None and one.status in ("Completed", "Stopped")]
    return min(counted, key=lambda one: sign * (one.value or 0.0), default=None)


def summary(job: Job, lines: Sequence[str], folders: Mapping[str, Path]) -> dict[str, Any] | None:
    """The best trial, for JSON: its values, and the command line that trains it here."""
    best = best_of(job)
    if best is None:
        return None
    overrides = replayed(lines, best.tuned)
    folder = folders.get(best.name)
    return {
        "name": best.name,
        "metric": job.metric,
        "value": best.value,
        "params": dict(sorted(best.tuned.items())),
        "command": shlex.join(["python", "train.py", *overrides]) if best.tuned else None,
        "folder": str(folder) if folder else None,
    }


def lines_of(folder: Path) -> list[str]:
    """The overrides that a sweep or a single job was launched with, where it was launched from here."""
    try:
        found = yaml.safe_load((folder / "multirun.yaml").read_text(encoding="utf-8"))
        return [str(line) for line in found["overrides"]]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return []


def write_sweep(folder: Path, job: Job) -> None:
    """``multirun.yaml`` where the launch left none, and ``optimization_results.yaml``."""
    if not (folder / "multirun.yaml").exists():
        _write_changed(folder / "multirun.yaml", {"overrides": [], "job": {"name": job.name}})
    best = best_of(job)
    if best is not None:
        params = {key: _typed(key, value) for key, value in sorted(best.tuned.items())}
        _write_changed(
            folder / "optimization_results.yaml",
            {"name": "sagemaker", "best_params": params, "best_value": best.value},
        )


def _write_changed(path: Path, content: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(content), sort_keys=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _typed(key: str, text: str) -> Any:
    """A swept value as Hydra reads it; what YAML has no word for stays text."""
    try:
        value = OverridesParser.create().parse_override(f"{key}={text}").value()
        yaml.safe_dump(value)
    except (HydraException, yaml.YAMLError, ValueError):
        return text
    return value


def _iso(time: Any) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")
