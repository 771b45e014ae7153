"""Models, endpoint configs and model packages: kept, listed, tagged, and refused in the service's words."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from launchers.embedded.root import BUCKET
from tests.embedded.hosting import IMAGE, Site, until

ARN = "arn:aws:sagemaker:us-east-1:123456789012"
MACHINE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.fixture(scope="module")
def data(one: Site) -> str:
    return one.put_model("data/model.tar.gz", {"text": "x"})


def model(one: Site, name: str, data: str, **more: Any) -> str:
    primary = {"Image": IMAGE, "ModelDataUrl": data}
    made = one.client.create_model(ModelName=name, PrimaryContainer=primary, **more)
    return str(made["ModelArn"])


def config(one: Site, name: str, variant: dict[str, Any], **more: Any) -> str:
    made = one.client.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{"VariantName": "v", **variant}], **more
    )
    return str(made["EndpointConfigArn"])


def test_a_model_is_kept_as_it_was_sent(one: Site, data: str) -> None:
    tags = [{"Key": "team", "Value": "vision"}]
    assert model(one, "Kept", data, Tags=tags) == f"{ARN}:model/kept"
    described = one.client.describe_model(ModelName="Kept")
    assert described["PrimaryContainer"] == {"Image": IMAGE, "ModelDataUrl": data}
    assert described["EnableNetworkIsolation"] is False
    assert one.client.list_tags(ResourceArn=f"{ARN}:model/kept")["Tags"] == tags
    one.client.add_tags(ResourceArn=f"{ARN}:model/kept", Tags=[{"Key": "more", "Value": "1"}])
    assert len(one.client.list_tags(ResourceArn=f"{ARN}:model/kept")["Tags"]) == 2
    with pytest.raises(ClientError, match=r"Cannot create already existing model \"arn"):
        model(one, "KEPT", data)
    one.client.delete_model(ModelName="Kept")
    with pytest.raises(ClientError, match=r"Could not find model \"arn:aws:sagemaker.*model/kept\"\."):
        one.client.describe_model(ModelName="Kept")


def test_an_endpoint_config_is_kept_as_it_was_sent(one: Site, data: str) -> None:
    model(one, "for-config", data)
    variant = {"ModelName": "for-config", **MACHINE, "ContainerStartupHealthCheckTimeoutInSeconds": 600}
    assert config(one, "kept", variant) == f"{ARN}:endpoint-config/kept"
    described = one.client.describe_endpoint_config(EndpointConfigName="kept")
    assert described["ProductionVariants"] == [{"VariantName": "v", **variant}]
    with pytest.raises(ClientError, match="Cannot create already existing endpoint configuration"):
        config(one, "kept", variant)
    with pytest.raises(ClientError, match=r"Could not find endpoint configuration \"arn.*/other\""):
        one.client.create_endpoint(EndpointName="x", EndpointConfigName="other")
    one.client.delete_endpoint_config(EndpointConfigName="kept")
    assert one.client.list_endpoint_configs(NameContains="kept")["EndpointConfigs"] == []


def test_listings_come_in_pages_newest_first(one: Site, data: str) -> None:
    for number in range(5):
        model(one, f"listed-{number}", data)
    pages = one.client.get_paginator("list_models").paginate(
        NameContains="listed", PaginationConfig={"PageSize": 2}
    )
    names = [[found["ModelName"] for found in page["Models"]] for page in pages]
    assert names == [["listed-4", "listed-3"], ["listed-2", "listed-1"], ["listed-0"]]
    ascending = one.client.list_models(NameContains="listed", SortBy="Name", SortOrder="Ascending")
    assert ascending["Models"][0]["ModelName"] == "listed-0"


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"ModelDataUrl": f"s3://{BUCKET}/no/such.tar.gz"}, "Could not find model data at s3://"),
        ({"ModelDataUrl": "https://example.com/model.tar.gz"}, "does not have ModelDataUrl"),
        ({}, "an image that brings its model along"),
        ({"ModelDataUrl": "s3://b/m", "Mode": "MultiModel"}, "does not have multi-model endpoints"),
        ({"ModelPackageName": "none/1"}, 'Could not find model package "none/1"'),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(one: Site, container: dict[str, str], message: str) -> None:
    image = {} if "ModelPackageName" in container else {"Image": IMAGE}
    with pytest.raises(ClientError, match=message) as caught:
        one.client.create_model(ModelName="bad", PrimaryContainer={**image, **container})
    assert caught.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("variant", "more", "message"),
    [
        ({"ModelName": "none", **MACHINE}, {}, r"Could not find model \"arn.*model/none\""),
        ({**MACHINE, "InitialInstanceCount": 2}, {}, "several machines for one endpoint"),
        ({**MACHINE, "InstanceType": "ml.huge"}, {}, "validation error"),
        (
            MACHINE,
            {
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://b/c",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "does not have data capture",
        ),
        ({**MACHINE, "EnableSSMAccess": True}, {}, "a way into the container"),
    ],
)
def test_a_config_that_cannot_be_had_is_refused(
    one: Site, data: str, variant: dict[str, Any], more: dict[str, Any], message: str
) -> None:
    try:
        model(one, "there", data)
    except ClientError as error:
        assert "already existing" in str(error)
    with pytest.raises(ClientError, match=message) as caught:
        config(one, "bad", {"ModelName": "there", **variant}, **more)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_package_waits_for_approval_and_is_then_deployed(one: Site, data: str) -> None:
    group = one.client.create_model_package_group(ModelPackageGroupName="dogs")["ModelPackageGroupArn"]
    specification = {"Containers": [{"Image": IMAGE, "ModelDataUrl": data, "Environment": {"A": "1"}}]}
    first, second = (
        one.client.create_model_package(ModelPackageGroupName=given, InferenceSpecification=specification)[
            "ModelPackageArn"
        ]
        for given in ("dogs", group)
    )
    assert (first, second) == (f"{ARN}:model-package/dogs/1", f"{ARN}:model-package/dogs/2")
    described = one.client.describe_model_package(ModelPackageName=first)
    assert (described["ModelApprovalStatus"], described["ModelPackageStatus"]) == (
        "PendingManualApproval", "Completed",
    )  # fmt: skip
    named = {"ModelPackageName": second}
    with pytest.raises(ClientError, match="is not approved"):
        one.client.create_model(ModelName="approved", PrimaryContainer=named)
    one.client.update_model_package(
        ModelPackageArn=second, ModelApprovalStatus="Approved", CustomerMetadataProperties={"who": "me"}
    )
    listed = one.client.list_model_packages(ModelPackageGroupName="dogs", ModelApprovalStatus="Approved")
    assert [found["ModelPackageVersion"] for found in listed["ModelPackageSummaryList"]] == [2]
    assert one.client.list_model_packages()["ModelPackageSummaryList"] == []  # the unversioned ones
    one.client.create_model(ModelName="approved", PrimaryContainer={**named, "Environment": {"B": "2"}})
    config(one, "approved", {"ModelName": "approved", **MACHINE})
    one.client.create_endpoint(EndpointName="approved", EndpointConfigName="approved")
    assert one.ended("approved")["EndpointStatus"] == "InService"
    one.client.delete_endpoint(EndpointName="approved")
    until(lambda: one.client.list_endpoints(NameContains="approved")["Endpoints"] == [], "end")

    with pytest.raises(ClientError, match="still has model packages"):
        one.client.delete_model_package_group(ModelPackageGroupName="dogs")
    for arn in (first, second):
        one.client.delete_model_package(ModelPackageName=arn)
    one.client.delete_model_package_group(ModelPackageGroupName="dogs")
    assert one.client.list_model_package_groups()["ModelPackageGroupSummaryList"] == []
