"""The requests of a deployment, plain dicts: model, endpoint config, endpoint, or a model package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig

from launchers.endpoints.settings import Machines
from launchers.limits import has_local_storage
from launchers.limits.hosting import SERVERLESS_PAYLOAD_MB
from sweepmaker.serving.server.settings import Settings
from sweepmaker.serving.settings import Limits, Options

RUN = "sweepmaker:run"
"""Tag: where the model came from."""
MARK = "sweepmaker:deployment"
"""Tag: what has it was made by a deployment, and may be deleted like one."""
VARIANT = "AllTraffic"  # the SDK's own name for the only one
CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp", "application/json", "text/plain",
                 "application/octet-stream")  # fmt: skip
ANSWERS = ("application/json", "text/plain")


@dataclass(frozen=True)
class Parts:
    """What the requests refer to and the config does not say.

    Attributes:
        name: of endpoint, endpoint config and model.
        image: URI.
        role: ARN.
        data: S3 address of the model's archive.
        tags: key to value.
    """

    name: str
    image: str
    role: str
    data: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One call: boto3's name of it, and its arguments."""

    operation: str
    request: dict[str, Any]


def deployment(cfg: DictConfig, options: Options, machines: Machines, parts: Parts) -> list[Call]:
    """The calls that make an endpoint, in their order."""
    tags = _tags(parts.tags)
    return [
        Call("create_model", {**_model(cfg, options, machines, parts), "Tags": tags}),
        Call("create_endpoint_config", {**_config(cfg, machines, parts), "Tags": tags}),
        Call(
            "create_endpoint",
            {"EndpointName": parts.name, "EndpointConfigName": parts.name, "Tags": tags},
        ),
    ]


def registration(cfg: DictConfig, options: Options, machines: Machines, parts: Parts) -> list[Call]:
    """The calls that put a model into the group ``parts.name``, where it waits for approval."""
    container = _container(options, machines, parts)
    specification: dict[str, Any] = {
        "Containers": [container],
        "SupportedContentTypes": list(CONTENT_TYPES),
        "SupportedResponseMIMETypes": list(ANSWERS),
    }
    if not machines.serverless:
        specification["SupportedRealtimeInferenceInstanceTypes"] = [machines.instance]
    package = {
        "ModelPackageGroupName": parts.name,
        "ModelPackageDescription": f"sweepmaker {parts.tags[RUN]}",
        "InferenceSpecification": specification,
        "ModelApprovalStatus": "PendingManualApproval",
        "Domain": "COMPUTER_VISION",
        "Task": "IMAGE_CLASSIFICATION",
        "CustomerMetadataProperties": dict(parts.tags),
    }
    group = {"ModelPackageGroupName": parts.name, "Tags": _tags({"sweepmaker:group": parts.name})}
    return [Call("create_model_package_group", group), Call("create_model_package", package)]


def _model(cfg: DictConfig, options: Options, machines: Machines, parts: Parts) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ModelName": parts.name,
        "PrimaryContainer": _container(options, machines, parts),
        "ExecutionRoleArn": parts.role,
    }
    if cfg.where.subnets:
        request["VpcConfig"] = {
            "SecurityGroupIds": list(cfg.where.security_groups),
            "Subnets": list(cfg.where.subnets),
        }
    if not machines.serverless:
        request["EnableNetworkIsolation"] = bool(cfg.where.network_isolation)
    return request


def _container(options: Options, machines: Machines, parts: Parts) -> dict[str, Any]:
    container: dict[str, Any] = {"Image": parts.image}
    if parts.data.endswith("/"):  # of a job that was told not to pack it
        source = {"S3Uri": parts.data, "S3DataType": "S3Prefix", "CompressionType": "None"}
        container["ModelDataSource"] = {"S3DataSource": source}
    else:
        container["ModelDataUrl"] = parts.data
    if variables := environment(options, machines):
        container["Environment"] = variables
    return container


def environment(options: Options, machines: Machines) -> dict[str, str]:
    """The container's variables: what differs from what the server does by itself."""
    found: dict[str, str] = {}
    if options.engine != Settings.engine:
        found["SWEEPMAKER_ENGINE"] = options.engine
    if options.threads != Settings.threads:
        found["SWEEPMAKER_THREADS"] = str(options.threads)
    if options.top_k != Settings.top_k:
        found["SWEEPMAKER_TOP_K"] = str(options.top_k)
    if options.workers != Settings.workers:
        found["SAGEMAKER_MODEL_SERVER_WORKERS"] = str(options.workers)
    payload = options.limits.payload_mb
    payload = min(payload, SERVERLESS_PAYLOAD_MB) if machines.serverless else payload
    if payload != Limits.payload_mb:
        found["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = f"{payload:g}"
    if options.limits.timeout_s != Limits.timeout_s:
        found["SAGEMAKER_MODEL_SERVER_TIMEOUT"] = f"{options.limits.timeout_s:g}"
    return found


def _config(cfg: DictConfig, machines: Machines, parts: Parts) -> dict[str, Any]:
    variant: dict[str, Any] = {"VariantName": VARIANT, "ModelName": parts.name}
    request: dict[str, Any] = {"EndpointConfigName": parts.name, "ProductionVariants": [variant]}
    if machines.serverless:
        variant["ServerlessConfig"] = {
            "MemorySizeInMB": machines.memory_mb,
            "MaxConcurrency": machines.concurrency,
        }
        return request
    variant |= {
        "InstanceType": machines.instance,
        "InitialInstanceCount": machines.count,
        "ContainerStartupHealthCheckTimeoutInSeconds": int(cfg.endpoint.startup_s),
    }
    # local disks are encrypted by their hardware, and SageMaker refuses a key for them
    if cfg.where.kms_key and not has_local_storage(machines.instance):
        request["KmsKeyId"] = cfg.where.kms_key
    return request


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
