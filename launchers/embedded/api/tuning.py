"""Create, describe, stop and delete tuning jobs."""

from __future__ import annotations

import secrets
from typing import Any

from launchers.embedded.api import documents
from launchers.embedded.api.checks import check, not_here
from launchers.embedded.api.summaries import best_trial, objective_status, trial_summary
from launchers.embedded.api.training import Body, Workers, refuse_unsupported, tags_of
from launchers.embedded.api.warm_start import check_parents
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import TRAINING, TUNING, Job, State


class TuningJobs:
    """The operations on tuning jobs."""

    def __init__(self, state: State, workers: Workers) -> None:
        self._state = state
        self._workers = workers

    def create(self, body: Body) -> Body:
        check("create_hyper_parameter_tuning_job", body)
        if "TrainingJobDefinition" not in body:
            raise not_here("several TrainingJobDefinitions in one tuning job")
        if body["HyperParameterTuningJobConfig"].get("ParameterRanges", {}).get("AutoParameters"):
            raise not_here("AutoParameters; give each range")
        if "HyperParameterTuningJobObjective" not in body["HyperParameterTuningJobConfig"]:
            raise ServiceError(
                "ValidationException",
                "A metric is required for this hyperparameter tuning job objective. "
                "Provide a metric in the metric definitions.",
            )
        refuse_unsupported(body["TrainingJobDefinition"])
        check_parents(self._state, body)
        seed = body["HyperParameterTuningJobConfig"].get("RandomSeed")
        job = documents.tuning_job(body, seed=secrets.randbelow(2**31) if seed is None else int(seed))
        if not self._state.add(job, tags_of(body)):
            raise ServiceError(
                "ResourceInUse",
                f"HyperParameterTuningJob names must be unique within an AWS account and region, and one "
                f"with this name already exists ({job.arn})",
            )
        self._workers.wake()
        return {"HyperParameterTuningJobArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_hyper_parameter_tuning_job", body)
        return described(self._state, self._found(body))

    def stop(self, body: Body) -> Body:
        check("stop_hyper_parameter_tuning_job", body)
        job = self._found(body)
        with self._state.change(TUNING, job.name) as changed:
            if not changed.ended:
                changed.document["HyperParameterTuningJobStatus"] = "Stopping"
        if job.ended or job.status == "Stopping":
            return {}
        for trial in self._state.jobs(TRAINING, parent=job.name, statuses=("InProgress",)):
            self._workers.stop_trial(trial.name, "user")
        self._workers.wake()
        return {}

    def delete(self, body: Body) -> Body:
        check("delete_hyper_parameter_tuning_job", body)
        job = self._found(body)
        if not job.ended:
            raise ServiceError(
                "ResourceInUse", f"Tuning job {job.name} is in status {job.status}; stop it first."
            )
        self._state.delete(job)
        return {}

    def _found(self, body: Body) -> Job:
        name = str(body["HyperParameterTuningJobName"])
        job = self._state.get(TUNING, name)
        if job is None:
            raise ServiceError(
                "ResourceNotFound", f"Amazon SageMaker can't find a tuning job with the name {name}."
            )
        return job


def described(state: State, job: Job) -> dict[str, Any]:
    """A tuning job with what follows from its trials."""
    document = dict(job.document)
    counts = state.counts(job.name)
    trials = state.jobs(TRAINING, parent=job.name)
    failed = [trial for trial in trials if trial.status == "Failed"]
    again = sum(1 for trial in failed if _may_be_retried(trial))
    with_value = sum(1 for trial in trials if objective_status(trial) == "Succeeded")
    going = counts.get("InProgress", 0) + counts.get("Stopping", 0)
    document["TrainingJobStatusCounters"] = {
        "Completed": counts.get("Completed", 0),
        "InProgress": going,
        "RetryableError": again,
        "NonRetryableError": len(failed) - again,
        "Stopped": counts.get("Stopped", 0),
    }
    document["ObjectiveStatusCounters"] = {
        "Succeeded": with_value,
        "Pending": going,
        "Failed": len(trials) - with_value - going,
    }
    document["ConsumedResources"] = {
        "RuntimeInSeconds": int(sum(trial.document.get("TrainingTimeInSeconds", 0) for trial in trials))
    }
    best = best_trial(job, trials)
    if best is not None:
        document["BestTrainingJob"] = trial_summary(best, job)
        # of TransferLearning there is none: DescribeHyperParameterTuningJob, API reference
        if document.get("WarmStartConfig", {}).get("WarmStartType") == "IdenticalDataAndAlgorithm":
            document["OverallBestTrainingJob"] = _overall(state, job, best)
    return document


def _may_be_retried(trial: Job) -> bool:
    """It failed for the service's reasons, not for its own (TrainingJobStatusCounters, API reference)."""
    return str(trial.document.get("FailureReason")).startswith(("InternalServerError", "CapacityError"))


def _overall(state: State, job: Job, best: Job) -> dict[str, Any]:
    """The best of the job and of those that it was started from."""
    candidates = [best]
    for parent in job.document["WarmStartConfig"]["ParentHyperParameterTuningJobs"]:
        theirs = best_trial(job, state.jobs(TRAINING, parent=parent["HyperParameterTuningJobName"]))
        candidates += [theirs] if theirs is not None else []
    overall = best_trial(job, candidates) or best
    return {**trial_summary(overall, job), "TuningJobName": overall.parent}
