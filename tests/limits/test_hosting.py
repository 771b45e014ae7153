"""The prose rules of models, endpoint configs, endpoints and model packages."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.limits import violations
from tests.limits.good import GONE, KEY, spoiled
from tests.limits.good_hosting import CONFIG, DATA, ENDPOINT, GROUP, IMAGE, MODEL, PACKAGE, SERVERLESS

FIRST = "PrimaryContainer"
SOURCE = f"{FIRST}.ModelDataSource.S3DataSource"
PREFIX = {"S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
VARIANT = "ProductionVariants[0]"
SPECIFICATION = "InferenceSpecification"
TAG = {"Key": "team", "Value": "x"}

BAD: list[tuple[str, dict[str, Any], str, str]] = [
    (MODEL, {FIRST: GONE}, FIRST, "is missing"),
    (MODEL, {"Containers": [{"Image": IMAGE}]}, "Containers", "is set beside PrimaryContainer"),
    (MODEL, {f"{FIRST}.Image": GONE}, f"{FIRST}.Image", "is missing"),
    (MODEL, {f"{FIRST}.ModelPackageName": "dogs/1"}, f"{FIRST}.ModelPackageName", "beside Image"),
    (MODEL, {f"{FIRST}.ModelDataUrl": "s3://bucket/model"}, f"{FIRST}.ModelDataUrl", "is no .tar.gz"),
    (MODEL, {SOURCE: PREFIX}, f"{FIRST}.ModelDataUrl", "is set beside ModelDataSource"),
    (MODEL, {SOURCE: {**PREFIX, "S3Uri": "s3://bucket/model"}}, f"{SOURCE}.S3Uri", "is no prefix"),
    (MODEL, {SOURCE: {**PREFIX, "CompressionType": "Gzip"}}, f"{SOURCE}.CompressionType", "'Gzip' does not"),
    (MODEL, {f"{FIRST}.Environment": {f"K{n}": "v" * 1000 for n in range(33)}}, f"{FIRST}.Environment",
     "bytes in all"),
    (MODEL, {"ModelName": "a_b"}, "ModelName", "'a_b'"),
    (MODEL, {f"{FIRST}.Environment": {"API_KEY": "abcdef"}}, f"{FIRST}.Environment['API_KEY']", "secret"),
    (MODEL, {"Tags[1].Key": "sweepmaker:endpoint"}, "Tags[1].Key", "is there twice"),
    (CONFIG, {f"{VARIANT}.InstanceType": GONE}, f"{VARIANT}.InstanceType", "is missing"),
    (CONFIG, {f"{VARIANT}.InstanceType": "ml.nothing"}, f"{VARIANT}.InstanceType", "ml.nothing"),
    (CONFIG, {f"{VARIANT}.InitialInstanceCount": GONE}, f"{VARIANT}.InitialInstanceCount", "is missing"),
    (CONFIG, {f"{VARIANT}.ModelName": GONE}, f"{VARIANT}.ModelName", "is missing"),
    (CONFIG, {f"{VARIANT}.ServerlessConfig": SERVERLESS}, f"{VARIANT}.ServerlessConfig", "does not go with"),
    (CONFIG, {f"{VARIANT}.ServerlessConfig": SERVERLESS, f"{VARIANT}.InstanceType": GONE},
     f"{VARIANT}.InitialInstanceCount", "does not go with ServerlessConfig"),
    (CONFIG, {f"{VARIANT}.ServerlessConfig": {**SERVERLESS, "MemorySizeInMB": 3000}},
     f"{VARIANT}.ServerlessConfig.MemorySizeInMB", "3000 MB"),
    (CONFIG, {f"{VARIANT}.ServerlessConfig": {**SERVERLESS, "ProvisionedConcurrency": 6}},
     f"{VARIANT}.ServerlessConfig.ProvisionedConcurrency", "6 are more"),
    (CONFIG, {f"{VARIANT}.InstanceType": "ml.g5.xlarge"}, "KmsKeyId", "ml.g5.xlarge has local storage"),
    (CONFIG, {f"{VARIANT}.ContainerStartupHealthCheckTimeoutInSeconds": 10},
     f"{VARIANT}.ContainerStartupHealthCheckTimeoutInSeconds", "10"),
    (CONFIG, {"ProductionVariants[1]": {"VariantName": "AllTraffic"}}, "ProductionVariants[1].VariantName",
     "'AllTraffic' is there twice"),
    (ENDPOINT, {"EndpointConfigName": GONE}, "EndpointConfigName", "is missing"),
    (ENDPOINT, {"Tags[2]": TAG}, "Tags[2].Key", "is there twice"),
    (GROUP, {"Tags[2]": TAG}, "Tags[2].Key", "is there twice"),
    (PACKAGE, {"ModelPackageName": "dogs"}, "ModelPackageName", "is set beside ModelPackageGroupName"),
    (PACKAGE, {"ModelPackageGroupName": GONE}, "ModelPackageGroupName", "is missing"),
    (PACKAGE, {"Tags": [TAG]}, "Tags", "does not go with a group"),
    (PACKAGE, {SPECIFICATION: GONE}, SPECIFICATION, "is missing"),
    (PACKAGE, {f"{SPECIFICATION}.Containers[0].ModelDataUrl": "s3://bucket/x"},
     f"{SPECIFICATION}.Containers[0].ModelDataUrl", "is no .tar.gz"),
    (PACKAGE, {"ModelPackageGroupName": GONE, "ModelPackageName": "dogs",
               f"{SPECIFICATION}.SupportedContentTypes": GONE},
     f"{SPECIFICATION}.SupportedContentTypes", "is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "changes", "path", "message"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_request_is_told(operation: str, changes: dict[str, Any], path: str, message: str) -> None:
    found = violations(operation, spoiled(operation, changes))
    assert [one for one in found if one.path == path and message in one.message], found


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        *((operation, {}) for operation in (MODEL, CONFIG, ENDPOINT, GROUP, PACKAGE)),
        (MODEL, {f"{FIRST}.ModelDataUrl": GONE, SOURCE: PREFIX}),
        (
            MODEL,
            {FIRST: {"ModelPackageName": "arn:aws:sagemaker:us-east-1:123456789012:model-package/dogs/1"}},
        ),
        (MODEL, {FIRST: GONE, "Containers": [{"Image": IMAGE, "ModelDataUrl": DATA}, {"Image": IMAGE}]}),
        (CONFIG, {"KmsKeyId": KEY}),
        (
            CONFIG,
            {
                "ProductionVariants": [
                    {"VariantName": "a", "ModelName": "dogs", "ServerlessConfig": SERVERLESS}
                ]
            },
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_good_request_passes(operation: str, changes: dict[str, Any]) -> None:
    assert violations(operation, spoiled(operation, changes)) == []
