"""Create, describe, stop and delete training jobs."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Protocol

from launchers.embedded import profiling
from launchers.embedded.api import documents
from launchers.embedded.api.addresses import check_addresses
from launchers.embedded.api.checks import check, not_here
from launchers.embedded.errors import ServiceError
from launchers.embedded.state import TRAINING, Job, State

Body = dict[str, Any]

# below /opt/ml: cleared before each attempt, or copied to S3 as something else already
_NOT_FOR_CHECKPOINTS = {"code", "input", "model", "output"}
_ONLY_ON_AWS = {
    "ServerlessJobConfig": "serverless training jobs",
    "TensorBoardOutputConfig": "a copy of TensorBoard's files (TensorBoardOutputConfig)",
    "MlflowConfig": "MLflow (MlflowConfig)",
    "ModelPackageConfig": "model packages (ModelPackageConfig)",
}


class Workers(Protocol):
    """What carries jobs out."""

    def wake(self) -> None:
        """Something is new in the state."""

    def stop_trial(self, name: str, why: str) -> None:
        """Ask a running training job to end; without effect on any other."""

    def forget(self, name: str) -> None:
        """A training job was deleted: so is what is left of it on disk."""


class TrainingJobs:
    """The operations on training jobs."""

    def __init__(self, state: State, workers: Workers) -> None:
        self._state = state
        self._workers = workers

    def create(self, body: Body) -> Body:
        check("create_training_job", body)
        refuse_unsupported(body)
        job = documents.training_job(body)
        job.document |= profiling.begun(job.document)
        if not self._state.add(job, tags_of(body)):
            raise ServiceError(
                "ResourceInUse",
                f"Training job names must be unique within an AWS account and region, and a training job "
                f"with this name already exists ({job.arn})",
            )
        self._workers.wake()
        return {"TrainingJobArn": job.arn}

    def describe(self, body: Body) -> Body:
        check("describe_training_job", body)
        job = self._found(body)
        document = dict(job.document)
        document.setdefault("ModelArtifacts", {"S3ModelArtifacts": ""})
        return document

    def stop(self, body: Body) -> Body:
        check("stop_training_job", body)
        job = self._found(body)
        if job.ended:
            raise ServiceError(
                "ValidationException",
                f"The request was rejected because the training job is in status {job.status}.",
            )
        self._workers.stop_trial(job.name, "user")
        return {}

    def delete(self, body: Body) -> Body:
        check("delete_training_job", body)
        job = self._found(body)
        if not job.ended:
            raise ServiceError(
                "ResourceInUse", f"Training job {job.name} is in status {job.status}; stop it first."
            )
        self._workers.forget(job.name)  # first: afterwards the name may be another job's already
        self._state.delete(job)
        return {}

    def _found(self, body: Body) -> Job:
        job = self._state.get(TRAINING, str(body["TrainingJobName"]))
        if job is None:
            # AWS's own: a ValidationException, not ResourceNotFound
            raise ServiceError("ValidationException", "Requested resource not found.")
        return job


def refuse_unsupported(definition: Body) -> None:
    """Parts of a definition that are real on AWS and would be silently left out here.

    Raises:
        ServiceError: it has one of them.
    """
    for member, what in _ONLY_ON_AWS.items():
        if definition.get(member) is not None:
            raise not_here(f"{what}; leave it out")
    if definition.get("RemoteDebugConfig", {}).get("EnableRemoteDebug"):
        raise not_here("a way into the container (RemoteDebugConfig); its processes run on this machine")
    resources = definition.get("ResourceConfig") or definition.get("HyperParameterTuningResourceConfig") or {}
    first = (resources.get("InstanceConfigs") or [resources])[0]
    if int(first.get("InstanceCount") or 1) > 1 or resources.get("InstanceGroups"):
        raise not_here("several machines for one training job (InstanceCount above 1)")
    specification = definition["AlgorithmSpecification"]
    if specification.get("AlgorithmName"):
        raise not_here("algorithms of the marketplace (AlgorithmName); give a TrainingImage")
    local = definition.get("CheckpointConfig", {}).get("LocalPath")
    if local and (".." in local.split("/") or not f"{local}/".startswith("/opt/ml/")):
        raise not_here(f"checkpoints outside of /opt/ml (LocalPath {local})")
    below = PurePosixPath(local or "/opt/ml/checkpoints").parts[3:]
    if not below or below[0] in _NOT_FOR_CHECKPOINTS:
        raise not_here(f"checkpoints in {local}; give a folder of their own, /opt/ml/checkpoints")
    check_addresses(definition)
    check_metrics(specification.get("MetricDefinitions", []))
    for channel in definition.get("InputDataConfig", []):
        name, source = channel["ChannelName"], channel["DataSource"]
        if name in (".", ".."):
            raise not_here(f"a channel called {name!r}, which is no folder of its own")
        if "S3DataSource" not in source:
            raise not_here(f"file systems as input (channel {name}); give an S3DataSource")
        if source["S3DataSource"]["S3DataType"] != "S3Prefix":
            raise not_here(f"{source['S3DataSource']['S3DataType']} input (channel {name}); give an S3Prefix")
        mode = channel.get("InputMode") or specification.get("TrainingInputMode")
        if mode == "Pipe":
            raise not_here(f"Pipe mode (channel {name}); give File or FastFile")


def check_metrics(definitions: list[Body]) -> None:
    """
    Raises:
        ServiceError: a regex that finds no value.
    """
    for one in definitions:
        try:
            groups = re.compile(one["Regex"]).groups
        except re.error as error:
            raise _bad_regex(one, f"is no regular expression: {error}") from None
        if not groups:
            raise _bad_regex(one, "has no group (...) around the value")


def _bad_regex(one: Body, why: str) -> ServiceError:
    text = f"The regex of the metric definition {one['Name']} {why} ({one['Regex'][:200]})"
    return ServiceError("ValidationException", text)


def tags_of(body: Body) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in body.get("Tags", [])}
