"""The two kinds of jobs, and whether there is one of a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained, is_absent


@dataclass(frozen=True)
class Operation:
    """A create call and what belongs to it; names as boto3 and the API have them."""

    create: str
    describe: str
    stop: str
    name: str
    arn: str
    longest: int
    """Characters of a name."""
    word: str

    @property
    def status(self) -> str:
        return self.arn.removesuffix("Arn") + "Status"

    @property
    def api_describe(self) -> str:
        return "Describe" + self.arn.removesuffix("Arn")


OPERATIONS = {
    operation.create: operation
    for operation in (
        Operation(
            "create_hyper_parameter_tuning_job", "describe_hyper_parameter_tuning_job",
            "stop_hyper_parameter_tuning_job", "HyperParameterTuningJobName", "HyperParameterTuningJobArn",
            32, "tuning job",
        ),
        Operation(
            "create_training_job", "describe_training_job", "stop_training_job",
            "TrainingJobName", "TrainingJobArn", 63, "training job",
        ),
    )
}  # fmt: skip


def described(clients: Clients, known: Operation, name: str) -> dict[str, Any] | None:
    """The job as the service describes it, or None where it has none of that name.

    Raises:
        UserError: AWS refused or could not be reached.
    """
    with explained(clients.where):
        try:
            found: dict[str, Any] = getattr(clients.sagemaker, known.describe)(**{known.name: name})
        except Exception as error:
            if is_absent(error):
                return None
            raise
    return found
