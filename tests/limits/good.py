"""Good requests, and how a test spoils them."""

from __future__ import annotations

import copy
import re
from typing import Any

from tests.limits.good_hosting import HOSTING

TUNING = "create_hyper_parameter_tuning_job"
TRAINING = "create_training_job"


class _Gone:
    def __repr__(self) -> str:  # ids of tests hold it: without an address
        return "GONE"


GONE: Any = _Gone()
"""Set to this, a member is taken out."""

KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
ROLE = "arn:aws:iam::123456789012:role/service-role/train"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.9-gpu"
CHANNEL = {
    "ChannelName": "data",
    "DataSource": {
        "S3DataSource": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://bucket/sweepmaker/data/abc/",
            "S3DataDistributionType": "FullyReplicated",
        }
    },
    "InputMode": "FastFile",
}
OBJECTIVE = {"Type": "Maximize", "MetricName": "val_acc"}
RANGES = {
    "ContinuousParameterRanges": [
        {"Name": "optimizer.lr", "MinValue": "1e-4", "MaxValue": "0.1", "ScalingType": "Logarithmic"},
        {"Name": "ema", "MinValue": "0", "MaxValue": "0.999", "ScalingType": "ReverseLogarithmic"},
    ],
    "IntegerParameterRanges": [
        {"Name": "++model.depth", "MinValue": "-1", "MaxValue": "5", "ScalingType": "Linear"}
    ],
    "CategoricalParameterRanges": [{"Name": "model@net", "Values": ["small", "'a b'", "[1,2]"]}],
}
METRICS = [
    {"Name": "val_acc", "Regex": "val_acc=([0-9eE+\\-\\.]+);"},
    {"Name": "val_loss", "Regex": "val_loss=([0-9eE+\\-\\.]+);"},
]
TAGS = [{"Key": "sweepmaker:commit", "Value": "0c1d2e3f"}, {"Key": "Größe", "Value": "zwei Äpfel @ 3.5"}]
_JOB = {
    "RoleArn": ROLE,
    "InputDataConfig": [CHANNEL],
    "VpcConfig": {"SecurityGroupIds": ["sg-0123"], "Subnets": ["subnet-0123"]},
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/sweepmaker/jobs/", "KmsKeyId": "alias/mine"},
    "StoppingCondition": {"MaxRuntimeInSeconds": 14400},
    "EnableNetworkIsolation": False,
    "EnableInterContainerTrafficEncryption": True,
    "CheckpointConfig": {"S3Uri": "s3://bucket/sweepmaker/checkpoints/x/"},
    "RetryStrategy": {"MaximumRetryAttempts": 2},
    "Environment": {
        "PYTHONUNBUFFERED": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "DB_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:db",
        "TEXT": "two\nlines",
    },
}
_RESOURCES = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50}
GOOD: dict[str, dict[str, Any]] = {
    TUNING: {
        "HyperParameterTuningJobName": "sweep-b2-20260102-030405",
        "HyperParameterTuningJobConfig": {
            "Strategy": "Bayesian",
            "HyperParameterTuningJobObjective": OBJECTIVE,
            "ResourceLimits": {
                "MaxNumberOfTrainingJobs": 20,
                "MaxParallelTrainingJobs": 4,
                "MaxRuntimeInSeconds": 86400,
            },
            "ParameterRanges": RANGES,
            "TrainingJobEarlyStoppingType": "Auto",
            "TuningJobCompletionCriteria": {
                "TargetObjectiveMetricValue": 1,
                "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3},
                "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
            },
            "RandomSeed": 0,
        },
        "TrainingJobDefinition": {
            **_JOB,
            "StaticHyperParameters": {
                "sagemaker_program": "src/sweepmaker/container/entry.py",
                "sagemaker_submit_directory": "s3://bucket/sweepmaker/code/0123/sourcedir.tar.gz",
            },
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": METRICS,
            },
            "ResourceConfig": _RESOURCES,
        },
        "WarmStartConfig": {
            "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "sweep-b2-older"}],
            "WarmStartType": "TransferLearning",
        },
        "Tags": TAGS,
    },
    TRAINING: {
        **_JOB,
        "TrainingJobName": "single-20260102-030405",
        "HyperParameters": {"epochs": "3", "max_tokens": "512", "class_token": "true"},
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "MetricDefinitions": METRICS,
            "ContainerEntrypoint": ["python", "-m", "sweepmaker.container"],
            "ContainerArguments": ["train"],
        },
        "ResourceConfig": {
            "InstanceType": "ml.c5.xlarge",
            "InstanceCount": 2,
            "VolumeSizeInGB": 50,
            "VolumeKmsKeyId": KEY,
            "KeepAlivePeriodInSeconds": 600,
        },
        "DebugHookConfig": {
            "S3OutputPath": "s3://bucket/debug/",
            "CollectionConfigurations": [{"CollectionName": "losses"}],
        },
        "DebugRuleConfigurations": [
            {"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": "x"}
        ],
        "ProfilerConfig": {"S3OutputPath": "s3://bucket/profile/", "ProfilingIntervalInMilliseconds": 500},
        "ProfilerRuleConfigurations": [
            {"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "x"}
        ],
        "Tags": TAGS,
    },
    **HOSTING,
}

SHORT = {
    "config": "HyperParameterTuningJobConfig",
    "objective": "HyperParameterTuningJobConfig.HyperParameterTuningJobObjective",
    "stopping": "HyperParameterTuningJobConfig.TrainingJobEarlyStoppingType",
    "band": "HyperParameterTuningJobConfig.StrategyConfig.HyperbandStrategyConfig",
    "limits": "HyperParameterTuningJobConfig.ResourceLimits",
    "jobs": "HyperParameterTuningJobConfig.ResourceLimits.MaxNumberOfTrainingJobs",
    "space": "HyperParameterTuningJobConfig.ParameterRanges",
    "lr": "HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[0]",
    "ema": "HyperParameterTuningJobConfig.ParameterRanges.ContinuousParameterRanges[1]",
    "depth": "HyperParameterTuningJobConfig.ParameterRanges.IntegerParameterRanges[0]",
    "net": "HyperParameterTuningJobConfig.ParameterRanges.CategoricalParameterRanges[0]",
    "job": "TrainingJobDefinition",
    "defs": "TrainingJobDefinitions",
    "static": "TrainingJobDefinition.StaticHyperParameters",
    "algorithm": "TrainingJobDefinition.AlgorithmSpecification",
    "metrics": "TrainingJobDefinition.AlgorithmSpecification.MetricDefinitions",
    "resources": "TrainingJobDefinition.ResourceConfig",
    "flexible": "TrainingJobDefinition.HyperParameterTuningResourceConfig",
    "channel": "TrainingJobDefinition.InputDataConfig[0]",
    "s3": "TrainingJobDefinition.InputDataConfig[0].DataSource.S3DataSource",
    "spot": "TrainingJobDefinition.EnableManagedSpotTraining",
    "run": "TrainingJobDefinition.StoppingCondition.MaxRuntimeInSeconds",
    "wait": "TrainingJobDefinition.StoppingCondition.MaxWaitTimeInSeconds",
    "parents": "WarmStartConfig.ParentHyperParameterTuningJobs",
}
"""Names for the beginnings of long paths: members of the API begin with a capital, these do not."""


def full(path: str) -> str:
    """``path`` with its beginning written out."""
    return re.sub(r"^[a-z]\w*", lambda found: SHORT[found[0]], path)


def good(operation: str) -> dict[str, Any]:
    return copy.deepcopy(GOOD[operation])


def spoiled(operation: str, changes: dict[str, Any]) -> dict[str, Any]:
    """The good request with other values at some places (``A.B[0].C``)."""
    request = good(operation)
    for path, value in changes.items():
        put(request, path, value)
    return request


def put(request: Any, path: str, value: Any) -> None:
    parts = re.findall(r"\[\d+\]|[^.\[\]]+", full(path))
    steps = [int(part[1:-1]) if part[0] == "[" else part for part in parts]
    place = request
    for step in steps[:-1]:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is GONE:
        place.pop(steps[-1], None)
    elif isinstance(place, list) and steps[-1] == len(place):
        place.append(copy.deepcopy(value))
    else:
        place[steps[-1]] = copy.deepcopy(value)


def grid(*sizes: int, **more: Any) -> dict[str, Any]:
    """Changes that make the tuning request a grid with that many values along each axis."""
    axes = [{"Name": f"x{i}", "Values": [str(v) for v in range(size)]} for i, size in enumerate(sizes)]
    space = {"CategoricalParameterRanges": axes}
    return {"config.Strategy": "Grid", "space": space, "jobs": GONE, **more}


def hyperband(low: Any, high: Any) -> dict[str, Any]:
    """Changes that make the tuning request a Hyperband one with these bounds."""
    bounds = {
        name: bound for name, bound in (("MinResource", low), ("MaxResource", high)) if bound is not GONE
    }
    return {
        "config.Strategy": "Hyperband",
        "config.StrategyConfig": {"HyperbandStrategyConfig": bounds},
        "stopping": "Off",
    }


def several(count: int) -> dict[str, Any]:
    """Changes that turn the one definition into a list of ``count``."""
    one = good(TUNING)["TrainingJobDefinition"]
    own = {"TuningObjective": OBJECTIVE, "HyperParameterRanges": RANGES}
    return {
        "job": GONE,
        "defs": [{**one, **own, "DefinitionName": f"part-{i}"} for i in range(count)],
        "objective": GONE,
        "space": GONE,
        "stopping": "Off",
        "WarmStartConfig": GONE,
    }
