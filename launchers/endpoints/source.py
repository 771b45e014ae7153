"""Which model is deployed: a job's own artifact in S3 as it is, or a folder here, packed and uploaded."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.lookup import described
from launchers.endpoints.pack import NAME
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run import untrusted
from sweepmaker.serving import find
from sweepmaker.serving.settings import Options

_NAME_OF_A_JOB = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")  # CreateTrainingJob, TrainingJobName
_NOT_IN_A_TAG = re.compile(r"[^\w.:/=+\-@ ]")  # Tag, API reference
_LONGEST_TAG = 256
_LONGEST_TUNING_JOB = 32  # characters of the name of one
_GOES_ON = ("InProgress", "Stopping")


@dataclass(frozen=True)
class Source:
    """Exactly one of ``folder`` and ``address`` is set.

    Attributes:
        run: what it is called, for people and tags.
        label: what an endpoint of it may be called.
        folder: the model folder on this machine.
        address: of the archive in S3.
    """

    run: str
    label: str
    folder: Path | None = None
    address: str = ""

    @property
    def tag(self) -> str:
        return _NOT_IN_A_TAG.sub("-", self.run)[-_LONGEST_TAG:]


def job_of(options: Options) -> str | None:
    """The name of the job that ``run`` means; None where it means something on this machine."""
    run = options.run
    if run is None or run == "best" or not _NAME_OF_A_JOB.fullmatch(run) or Path(run).exists():
        return None
    return run


def local(options: Options) -> Source:
    """The model folder that ``run`` and ``runs`` mean.

    Raises:
        ConfigError: there is none.
        UserError: it is no model of this program.
    """
    folder = find.model_folder(options)
    return Source(_shown(folder), _label(folder), folder)


def of_job(clients: Clients, name: str) -> Source | None:
    """The artifact of a tuning job's best trial, or of a training job; None where there is no such job.

    Raises:
        UserError: the job has no model (yet), or AWS refuses.
    """
    trial = name
    if (tuning := _tuning_job(clients, name)) is not None:
        best, status = tuning.get("BestTrainingJob"), str(tuning["HyperParameterTuningJobStatus"])
        if best is None:
            raise UserError(f"the tuning job {name} has no best trial: it is {status}", key="run",
                            fix=_look_at(clients, name, status))  # fmt: skip
        if status in _GOES_ON:
            print(f"the tuning job {name} is {status}: this is its best trial so far", file=sys.stderr)
        trial = str(best["TrainingJobName"])
        metric = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        value = f"  {metric['MetricName']}={metric['Value']:.6g}" if metric else ""
        print(f"best: {trial}{value}", file=sys.stderr)
    found = described(clients, "describe_training_job", TrainingJobName=trial)
    if found is None:
        return None
    address = str(found.get("ModelArtifacts", {}).get("S3ModelArtifacts") or "")
    if not address:
        status = str(found["TrainingJobStatus"])
        raise UserError(f"the training job {trial} has left no model: it is {status}", key="run",
                        fix=_look_at(clients, name, status))  # fmt: skip
    if not address.endswith(".tar.gz"):  # the job was told not to pack it
        address = f"{address.rstrip('/')}/"
    return Source(trial, "sweepmaker", address=address)


def unasked(options: Options, name: str, bucket: str, prefix: str) -> Source:
    """A job's artifact for a dry run, which asks nobody: where the job was collected here, where it says.

    Raises:
        ConfigError: a job of that name was collected here, and there is no best trial with a model among it.
    """
    try:
        folder = find.model_folder(options)
    except ConfigError:
        if _is_collected(name):
            raise
        print(f"the best trial of {name} is asked for when it is sent", file=sys.stderr)
        root = f"s3://{bucket}/{prefix.strip('/')}/jobs/"
        return Source(name, "sweepmaker", address=f"{root}{name}/output/{NAME}")
    run = _json(folder.parent / "run.json")
    trial = str((run.get("job") or {}).get("name") or "")
    output = _output(folder.parent)
    if not trial or output is None:
        return Source(_shown(folder), _label(folder), folder)
    return Source(trial, "sweepmaker", address=f"{output.rstrip('/')}/{trial}/output/{NAME}")


def _look_at(clients: Clients, name: str, status: str) -> str:
    """What to type to see how a job goes on, or how it ended."""
    action = "watch" if status in _GOES_ON else "collect"
    return f"python launch.py action={action} job.name={name} where={clients.where.get('name')}"


def _is_collected(name: str) -> bool:
    """Whether there are runs of a job in the folder that it was launched from."""
    launches = [file for root in ("multirun", "outputs") for file in Path(root).glob("*/*/launch.json")]
    folders = [file.parent for file in launches if _json(file).get("name") == name]
    return any(run for folder in folders for run in (*folder.glob("run.json"), *folder.glob("*/run.json")))


def _output(run: Path) -> str | None:
    """S3OutputPath of the job that a collected run belongs to."""
    for folder in (run, run.parent):
        request: Any = _json(folder / "launch.json").get("request")
        if isinstance(request, dict):
            definition = request.get("TrainingJobDefinition", request)
            return str(definition["OutputDataConfig"]["S3OutputPath"])
    return None


def _tuning_job(clients: Clients, name: str) -> dict[str, Any] | None:
    if len(name) > _LONGEST_TUNING_JOB:
        return None
    return described(clients, "describe_hyper_parameter_tuning_job", HyperParameterTuningJobName=name)


def _label(folder: Path) -> str:
    architecture = _json(folder / "model.json").get("architecture")
    name = architecture.get("name") if isinstance(architecture, dict) else None
    return name if isinstance(name, str) and name else "sweepmaker"


def _shown(folder: Path) -> str:
    """A model folder's run without what is about this machine: ``multirun/<date>/<time>/3``."""
    run = folder.parent if folder.name == "model" else folder
    parts = run.absolute().parts
    begin = max(
        (parts.index(name) for name in ("multirun", "outputs") if name in parts), default=len(parts) - 1
    )
    return "/".join(parts[begin:])


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is none, which is told when the model itself is read."""
    text = untrusted.read_whole(path, untrusted.LARGEST)
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
