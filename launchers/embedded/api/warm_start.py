"""What a tuning job and those that it is to learn from must have in common.

Source: Amazon SageMaker developer guide, "Run a Warm Start Hyperparameter Tuning Job", and
HyperParameterTuningJobWarmStartConfig, API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launchers.embedded.errors import ServiceError
from launchers.embedded.state import TRAINING, TUNING, Job, State
from launchers.limits import tuning as limits

_MOST_CHANGES = 10  # tunable ones that became static, and static ones with another value
_KINDS = ("CategoricalParameterRanges", "ContinuousParameterRanges", "IntegerParameterRanges")


def check_parents(state: State, body: Mapping[str, Any]) -> None:
    """Hold a request of CreateHyperParameterTuningJob against its parents.

    Raises:
        ServiceError: one of them is missing, at work, or too different.
    """
    start = body.get("WarmStartConfig", {})
    given = start.get("ParentHyperParameterTuningJobs", [])
    parents = [_ended(state, one["HyperParameterTuningJobName"]) for one in given]
    for parent in parents:
        _same_objective(body, parent)
        _same_hyperparameters(body, parent)
        if start.get("WarmStartType") == "IdenticalDataAndAlgorithm":
            _same_data_and_image(body, parent)
    if parents:
        _not_too_many(state, body, parents)


def _ended(state: State, name: str) -> Job:
    parent = state.get(TUNING, name)
    if parent is None or not parent.ended:
        what = "does not exist" if parent is None else f"is in status {parent.status}"
        raise _refused(f"Parent tuning job {name} {what}; it has to have ended.")
    return parent


def _same_objective(body: Mapping[str, Any], parent: Job) -> None:
    theirs = parent.document["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    if theirs != body["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]:
        raise _refused(
            f"Parent tuning job {parent.name} has another objective: {theirs['Type']} {theirs['MetricName']}."
        )


def _same_hyperparameters(body: Mapping[str, Any], parent: Job) -> None:
    ours, theirs = _tunable(body), _tunable(parent.document)
    static, before = _static(body), _static(parent.document)
    if len(ours) + len(static) != len(theirs) + len(before):
        raise _refused(
            f"Parent tuning job {parent.name} has {len(theirs) + len(before)} hyperparameters, static and "
            f"tunable, and this one {len(ours) + len(static)}; the number has to be the same."
        )
    for name in sorted(set(ours) & set(theirs)):
        if ours[name] != theirs[name]:
            raise _refused(
                f"Hyperparameter {name} is one of {ours[name]}, and of {theirs[name]} in the parent tuning "
                f"job {parent.name}; its type has to be the same."
            )
    changed = [name for name, value in static.items() if name in theirs or before.get(name, value) != value]
    if len(changed) > _MOST_CHANGES:
        raise _refused(
            f"{len(changed)} hyperparameters became static or have another static value than in the parent "
            f"tuning job {parent.name}; at most {_MOST_CHANGES} may."
        )


def _same_data_and_image(body: Mapping[str, Any], parent: Job) -> None:
    ours, theirs = body["TrainingJobDefinition"], parent.document["TrainingJobDefinition"]
    for what, one, other in (
        ("training image", _image(ours), _image(theirs)),
        ("input data", _data(ours), _data(theirs)),
    ):
        if one != other:
            raise _refused(
                f"Parent tuning job {parent.name} has another {what}; with IdenticalDataAndAlgorithm it has "
                f"to be the same (TransferLearning takes others)."
            )


def _not_too_many(state: State, body: Mapping[str, Any], parents: list[Job]) -> None:
    config = body["HyperParameterTuningJobConfig"]
    most = limits.MOST_RANDOM_JOBS if config["Strategy"] == "Random" else limits.MOST_JOBS
    before = sum(len(state.jobs(TRAINING, parent=parent.name)) for parent in parents)
    wanted = int(config["ResourceLimits"].get("MaxNumberOfTrainingJobs", 0))
    if before + wanted > most:
        raise _refused(
            f"{wanted} training jobs, and {before} of the parent tuning jobs count too; at most {most}."
        )


def _tunable(document: Mapping[str, Any]) -> dict[str, str]:
    """Name to kind of range."""
    ranges = document["HyperParameterTuningJobConfig"].get("ParameterRanges", {})
    return {one["Name"]: kind for kind in _KINDS for one in ranges.get(kind, [])}


def _static(document: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = document["TrainingJobDefinition"].get("StaticHyperParameters", {})
    return found


def _image(definition: Mapping[str, Any]) -> Any:
    return definition["AlgorithmSpecification"].get("TrainingImage")


def _data(definition: Mapping[str, Any]) -> dict[str, Any]:
    channels = definition.get("InputDataConfig", [])
    return {one["ChannelName"]: one["DataSource"]["S3DataSource"]["S3Uri"] for one in channels}


def _refused(why: str) -> ServiceError:
    return ServiceError("ValidationException", why)
