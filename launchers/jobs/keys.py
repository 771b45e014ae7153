"""From a place in a request to the config key that filled it, so that a refusal names what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launchers.limits import violations
from sweepmaker.config.errors import ConfigError

# The longest match counts. What is not in the table is ours to get right, and named as it stands.
_KEYS = {
    "HyperParameterTuningJobName": "job.name",
    "TrainingJobName": "job.name",
    "Strategy": "job.strategy",
    "StrategyConfig.HyperbandStrategyConfig.MinResource": "job.hyperband.min_epochs",
    "StrategyConfig.HyperbandStrategyConfig.MaxResource": "job.hyperband.max_epochs",
    "HyperParameterTuningJobObjective": "objective",
    "ResourceLimits.MaxNumberOfTrainingJobs": "job.max_jobs",
    "ResourceLimits.MaxParallelTrainingJobs": "job.max_parallel_jobs",
    "ResourceLimits.MaxRuntimeInSeconds": "job.max_tuning_s",
    "ParameterRanges": "the swept keys",
    "TrainingJobEarlyStoppingType": "job.early_stopping",
    "TuningJobCompletionCriteria.TargetObjectiveMetricValue": "job.completion.target",
    "TuningJobCompletionCriteria.BestObjectiveNotImproving": "job.completion.not_improving_jobs",
    "RandomSeed": "job.seed",
    "TuningJobCompletionCriteria": "job.completion",
    "WarmStartConfig": "job.warm_start",
    "WarmStartConfig.ParentHyperParameterTuningJobs": "job.warm_start.parents",
    "WarmStartConfig.WarmStartType": "job.warm_start.type",
    "Tags": "job.tags",
    "AlgorithmSpecification.TrainingImage": "job.image",
    "AlgorithmSpecification.TrainingInputMode": "job.input_mode",
    "AlgorithmSpecification.MetricDefinitions": "job.metrics",
    "RoleArn": "where.role",
    "InputDataConfig": "job.channels",
    "VpcConfig.SecurityGroupIds": "where.security_groups",
    "VpcConfig.Subnets": "where.subnets",
    "OutputDataConfig.S3OutputPath": "where.bucket",
    "OutputDataConfig.KmsKeyId": "where.kms_key",
    "ResourceConfig.InstanceType": "job.instance_type",
    "ResourceConfig.InstanceCount": "job.instance_count",
    "ResourceConfig.VolumeSizeInGB": "job.volume_gb",
    "ResourceConfig.VolumeKmsKeyId": "where.kms_key",
    "ResourceConfig.KeepAlivePeriodInSeconds": "job.keep_alive_s",
    "HyperParameterTuningResourceConfig": "job.instances",
    "HyperParameterTuningResourceConfig.VolumeKmsKeyId": "where.kms_key",
    "StoppingCondition.MaxRuntimeInSeconds": "job.max_runtime_s",
    "StoppingCondition.MaxWaitTimeInSeconds": "job.max_wait_s",
    "StoppingCondition.MaxPendingTimeInSeconds": "job.max_pending_s",
    "EnableManagedSpotTraining": "job.spot",
    "CheckpointConfig": "job.checkpoints",
    "RetryStrategy": "job.retries",
    "Environment": "job.environment",
    "ProfilerConfig": "debugger.managed",
    "DebugHookConfig": "debugger.managed",
}
_NESTS = ("HyperParameterTuningJobConfig.", "TrainingJobDefinition.")


def check(operation: str, request: Mapping[str, Any]) -> None:
    """Stop at what SageMaker would refuse.

    Raises:
        ConfigError: with everything that is wrong, each with its config key.
    """
    found = violations(operation, request)
    if not found:
        return
    first, *others = {config_key(one.path, request): one for one in reversed(found)}.values()
    more = [f"also {config_key(one.path, request)}: {one.message}" for one in others]
    raise ConfigError(
        "\n  ".join([first.message, *more]),
        key=config_key(first.path, request),
        allowed=first.allowed or None,
        fix=first.fix or None,
    )


def config_key(path: str, request: Mapping[str, Any]) -> str:
    """The config key behind a path of the request, or the path itself."""
    inner = path
    for nest in _NESTS:
        inner = inner.removeprefix(nest)
    if name := _swept(inner, request):
        return name
    matches = [known for known in _KEYS if inner == known or inner.startswith((f"{known}.", f"{known}["))]
    if not matches:
        return path
    return _KEYS[max(matches, key=len)]


def _swept(inner: str, request: Mapping[str, Any]) -> str | None:
    """The swept key of ``ParameterRanges.CategoricalParameterRanges[1]...``."""
    parts = inner.split(".")
    if len(parts) < 2 or parts[0] != "ParameterRanges" or not parts[1].endswith("]"):
        return None
    kind, _, index = parts[1].removesuffix("]").partition("[")
    config = request.get("HyperParameterTuningJobConfig", {})
    entries: Sequence[Any] = config.get("ParameterRanges", {}).get(kind, [])
    position = int(index)
    return str(entries[position].get("Name")) if position < len(entries) else None
