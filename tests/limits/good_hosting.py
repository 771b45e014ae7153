"""Good requests for what serves a model."""

from __future__ import annotations

from typing import Any

MODEL = "create_model"
CONFIG = "create_endpoint_config"
ENDPOINT = "create_endpoint"
GROUP = "create_model_package_group"
PACKAGE = "create_model_package"

ROLE = "arn:aws:iam::123456789012:role/service-role/serve"
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/sweepmaker:1"
DATA = "s3://bucket/sweepmaker/models/abc/model.tar.gz"
TAGS = [{"Key": "sweepmaker:endpoint", "Value": "dogs"}, {"Key": "team", "Value": "vision"}]
SERVERLESS = {"MemorySizeInMB": 3072, "MaxConcurrency": 5}

HOSTING: dict[str, dict[str, Any]] = {
    MODEL: {
        "ModelName": "dogs",
        "PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": DATA, "Environment": {"A": "1"}},
        "ExecutionRoleArn": ROLE,
        "VpcConfig": {"SecurityGroupIds": ["sg-0123"], "Subnets": ["subnet-0123"]},
        "EnableNetworkIsolation": True,
        "Tags": TAGS,
    },
    CONFIG: {
        "EndpointConfigName": "dogs",
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": "dogs",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "ContainerStartupHealthCheckTimeoutInSeconds": 600,
            }
        ],
        "KmsKeyId": "alias/mine",
        "Tags": TAGS,
    },
    ENDPOINT: {"EndpointName": "dogs", "EndpointConfigName": "dogs", "Tags": TAGS},
    GROUP: {"ModelPackageGroupName": "dogs", "Tags": TAGS},
    PACKAGE: {
        "ModelPackageGroupName": "dogs",
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": DATA}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelApprovalStatus": "PendingManualApproval",
    },
}
