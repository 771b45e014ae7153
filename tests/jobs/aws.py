"""What moto's server and the dummy environment of these tests are made of."""

from __future__ import annotations

from typing import Any

from launchers.aws.clients import Clients

ACCOUNT = "123456789012"  # moto's
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEJr3" + "kB9zQ4Lm7W" * 14 + "=="
REGION = "us-east-1"
BUCKET = "sweeps"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sweeps"
TUNING_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:hyper-parameter-tuning-job/sweep-1"

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": TOKEN,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
SECRETS = (ACCOUNT, KEY_ID, SECRET, TOKEN)


def tuning_request(name: str = "sweep-1") -> dict[str, Any]:
    """A small, complete request of create_hyper_parameter_tuning_job."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "valid/top1_best"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": 2, "MaxParallelTrainingJobs": 1},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {"Name": "lr", "MinValue": "1e-4", "MaxValue": "0.1", "ScalingType": "Logarithmic"}
                ],
                "CategoricalParameterRanges": [{"Name": "batch_size", "Values": ["8", "16"]}],
            },
            "RandomSeed": 0,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {"sagemaker_program": "src/sweepmaker/container/entry.py"},
            **training_parts(),
        },
        "Tags": [{"Key": "project", "Value": "sweepmaker"}],
    }


def training_request(name: str = "run-1") -> dict[str, Any]:
    """A small, complete request of create_training_job."""
    return {"TrainingJobName": name, "HyperParameters": {"lr": "0.1"}, **training_parts()}


def training_parts() -> dict[str, Any]:
    """What both kinds of request hold."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/own:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "valid/top1_best", "Regex": "valid/top1_best=(.*?) "}],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/sweepmaker/jobs/"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 50},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "EnableManagedSpotTraining": False,
    }


def objects(clients: Clients) -> dict[str, int]:
    """What is in the bucket: key and size."""
    found = clients.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {entry["Key"]: entry["Size"] for entry in found}


class Calls:
    """Every S3 call of some clients, by operation, with its parameters."""

    def __init__(self, clients: Clients) -> None:
        self.made: list[tuple[str, dict[str, Any]]] = []
        clients.s3.meta.events.register("before-parameter-build.s3.*", self._note)

    def _note(self, params: dict[str, Any], model: Any, **event: Any) -> None:
        self.made.append((model.name, {key: value for key, value in params.items() if key != "Body"}))

    def count(self, operation: str) -> int:
        return sum(name == operation for name, _ in self.made)
