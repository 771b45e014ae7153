"""From a place in a deployment's request to the config key that filled it."""

from __future__ import annotations

from collections.abc import Sequence

from launchers.endpoints.request import Call
from launchers.limits import Violation, violations
from sweepmaker.config.errors import ConfigError

# The longest match counts. What is not in the table is ours to get right, and named as it stands.
_KEYS = {
    "ModelName": "name",
    "EndpointConfigName": "name",
    "EndpointName": "name",
    "ModelPackageGroupName": "register",
    "PrimaryContainer.Image": "endpoint.image",
    "InferenceSpecification.Containers[0].Image": "endpoint.image",
    "InferenceSpecification.SupportedRealtimeInferenceInstanceTypes": "endpoint.instance",
    "PrimaryContainer.ModelDataUrl": "run",
    "PrimaryContainer.ModelDataSource": "run",
    "InferenceSpecification.Containers[0].ModelDataUrl": "run",
    "ExecutionRoleArn": "where.role",
    "VpcConfig.SecurityGroupIds": "where.security_groups",
    "VpcConfig.Subnets": "where.subnets",
    "KmsKeyId": "where.kms_key",
    "ProductionVariants[0].InstanceType": "endpoint.instance",
    "ProductionVariants[0].InitialInstanceCount": "endpoint.count",
    "ProductionVariants[0].ContainerStartupHealthCheckTimeoutInSeconds": "endpoint.startup_s",
    "ProductionVariants[0].ServerlessConfig.MemorySizeInMB": "endpoint.serverless.memory_mb",
    "ProductionVariants[0].ServerlessConfig.MaxConcurrency": "endpoint.serverless.concurrency",
}


def check(calls: Sequence[Call]) -> None:
    """Stop at what SageMaker would refuse.

    Raises:
        ConfigError: with everything that is wrong, each with its config key.
    """
    found: dict[str, Violation] = {}
    for call in calls:
        for one in violations(call.operation, call.request):
            found.setdefault(config_key(one.path), one)
    if not found:
        return
    (key, first), *others = found.items()
    more = [f"also {name}: {one.message}" for name, one in others]
    raise ConfigError(
        "\n  ".join([first.message, *more]), key=key, allowed=first.allowed or None, fix=first.fix or None
    )


def config_key(path: str) -> str:
    """The config key behind a path of a request, or the path itself."""
    matches = [known for known in _KEYS if path == known or path.startswith((f"{known}.", f"{known}["))]
    return _KEYS[max(matches, key=len)] if matches else path
