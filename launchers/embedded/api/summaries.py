"""Jobs as the listings show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from launchers.embedded.state import Job


def objective_of(tuning: Job) -> dict[str, str]:
    """``{"Type": ..., "MetricName": ...}``."""
    found: dict[str, str] = tuning.document["HyperParameterTuningJobConfig"][
        "HyperParameterTuningJobObjective"
    ]
    return found


def best_trial(tuning: Job, trials: Iterable[Job]) -> Job | None:
    """The ended trial with the best objective; of equals the first. A failed one does not count."""
    sign = 1 if objective_of(tuning)["Type"] == "Minimize" else -1
    counted = [one for one in trials if one.status in ("Completed", "Stopped") and _value(one) is not None]
    return min(counted, key=lambda one: sign * (_value(one) or 0.0), default=None)


def trial_summary(trial: Job, tuning: Job) -> dict[str, Any]:
    """HyperParameterTrainingJobSummary."""
    document = trial.document
    kept: dict[str, Any] = {
        key: document[key]
        for key in (
            "TrainingJobName",
            "TrainingJobArn",
            "CreationTime",
            "TrainingStartTime",
            "TrainingEndTime",
            "TrainingJobStatus",
            "FailureReason",
        )
        if key in document
    }
    kept["TunedHyperParameters"] = trial.private.get("tuned", {})
    value = _value(trial)
    objective = objective_of(tuning)
    if value is not None:
        kept["FinalHyperParameterTuningJobObjectiveMetric"] = {**objective, "Value": value}
    return {**kept, "ObjectiveStatus": objective_status(trial)}


def objective_status(trial: Job) -> str:
    """ObjectiveStatus: a failed trial has none, whatever it printed before."""
    if not trial.ended:
        return "Pending"
    return "Succeeded" if _value(trial) is not None and trial.status != "Failed" else "Failed"


def training_summary(job: Job) -> dict[str, Any]:
    """TrainingJobSummary."""
    wanted = (
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
    )
    return {key: job.document[key] for key in wanted if key in job.document}


def tuning_summary(described: dict[str, Any]) -> dict[str, Any]:
    """HyperParameterTuningJobSummary, of a Describe answer."""
    wanted = (
        "HyperParameterTuningJobName",
        "HyperParameterTuningJobArn",
        "HyperParameterTuningJobStatus",
        "CreationTime",
        "HyperParameterTuningEndTime",
        "LastModifiedTime",
        "TrainingJobStatusCounters",
        "ObjectiveStatusCounters",
    )
    config = described["HyperParameterTuningJobConfig"]
    return {
        **{key: described[key] for key in wanted if key in described},
        "Strategy": config["Strategy"],
        "ResourceLimits": config["ResourceLimits"],
    }


def _value(job: Job) -> float | None:
    value = job.private.get("objective")
    return None if value is None else float(value)
