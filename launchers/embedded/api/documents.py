"""The answers that jobs begin with: a Describe answer made of a Create request."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any

from launchers.embedded import rules
from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.state import TRAINING, TUNING, Job

OBJECTIVE_NAME = "_tuning_objective_metric"
"""The hyperparameter that the service adds to every trial."""

_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"
_OF_DEFINITION = (
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "CheckpointConfig",
    "Environment",
    "RetryStrategy",
)
_FLAGS = (
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
)


def training_arn(name: str) -> str:
    return f"{_ARN}:training-job/{name.lower()}"


def tuning_arn(name: str) -> str:
    return f"{_ARN}:hyper-parameter-tuning-job/{name.lower()}"


def training_job(request: Mapping[str, Any]) -> Job:
    """A training job that nobody has begun yet."""
    now = time.time()
    document = {key: value for key, value in request.items() if key not in ("Tags", *_FLAGS)}
    document |= {key: bool(request.get(key, False)) for key in _FLAGS}
    document["HyperParameters"] = dict(request.get("HyperParameters", {}))
    if statuses := rules.begun(str(request["TrainingJobName"]), request, now):
        document[rules.KEY] = statuses
    return _training(str(request["TrainingJobName"]), None, document, now)


def trial(tuning: Job, number: int, suggested: Mapping[str, str]) -> Job:
    """The training job of one suggestion; the same number has the same name again."""
    definition: Mapping[str, Any] = tuning.document["TrainingJobDefinition"]
    mark = hashlib.sha256(f"{tuning.name} {tuning.document['CreationTime']} {number}".encode()).hexdigest()
    name = f"{tuning.name}-{number + 1:03d}-{mark[:8]}"
    objective = tuning.document["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective")
    fixed = dict(definition.get("StaticHyperParameters", {}))
    if objective:
        fixed[OBJECTIVE_NAME] = objective["MetricName"]
    document: dict[str, Any] = {
        "TrainingJobName": name,
        "TuningJobArn": tuning.arn,
        "HyperParameters": {**fixed, **suggested},
        "AlgorithmSpecification": dict(definition["AlgorithmSpecification"]),
        **{key: definition[key] for key in _OF_DEFINITION if key in definition},
        **{key: bool(definition.get(key, False)) for key in _FLAGS},
    }
    document.setdefault("ResourceConfig", _first_of(definition))
    job = _training(name, tuning.name, document, time.time())
    job.private |= {"number": number, "tuned": dict(suggested)}
    return job


def _first_of(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The machine that the service would try first."""
    wanted = definition.get("HyperParameterTuningResourceConfig", {})
    first = (wanted.get("InstanceConfigs") or [wanted])[0]
    kept = {key: first[key] for key in ("InstanceType", "InstanceCount", "VolumeSizeInGB") if key in first}
    if "VolumeKmsKeyId" in wanted:
        kept["VolumeKmsKeyId"] = wanted["VolumeKmsKeyId"]
    return kept


def _training(name: str, parent: str | None, document: dict[str, Any], now: float) -> Job:
    specification = dict(document["AlgorithmSpecification"])
    specification.setdefault("EnableSageMakerMetricsTimeSeries", False)
    arn = training_arn(name)
    document.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": 86_400})  # the service's default
    document |= {
        "TrainingJobArn": arn,
        "AlgorithmSpecification": specification,
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [
            {"Status": "Starting", "StartTime": now, "StatusMessage": "Preparing the instances for training"}
        ],
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    return Job(TRAINING, name, arn, parent, document, {"attempts": 0})


def tuning_job(request: Mapping[str, Any], *, seed: int) -> Job:
    """A tuning job without trials yet.

    Args:
        request: of CreateHyperParameterTuningJob.
        seed: of the search, where the request has none.
    """
    now = time.time()
    name = str(request["HyperParameterTuningJobName"])
    arn = tuning_arn(name)
    document = {key: value for key, value in request.items() if key != "Tags"}
    document |= {
        "HyperParameterTuningJobArn": arn,
        "HyperParameterTuningJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
    }
    return Job(TUNING, name, arn, None, document, {"seed": seed})
