"""Endpoints: their statuses, their processes, and what requests to them get."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from launchers.embedded.hosting.host import Host
from launchers.embedded.root import BUCKET
from tests.embedded.hosting import Site, container, site, together, until

SERVERLESS = {"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}


@pytest.fixture(scope="module")
def dogs(one: Site) -> Site:
    """With an endpoint that is in service."""
    one.deploy("dogs")
    assert one.ended("dogs")["EndpointStatus"] == "InService"
    return one


def body_of(answered: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(answered["Body"].read()))


def gone(one: Site, name: str) -> None:
    until(lambda: one.client.list_endpoints(NameContains=name)["Endpoints"] == [], f"end of {name}")


def test_an_endpoint_serves_its_model_and_goes(one: Site) -> None:
    one.deploy("Cats", "hello", container={"Environment": {"MINE": "1"}})
    assert one.client.describe_endpoint(EndpointName="cats")["EndpointStatus"] in ("Creating", "InService")
    described = one.ended("Cats")
    assert described["EndpointStatus"] == "InService"
    (variant,) = described["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert described["EndpointConfigName"] == "Cats"

    answered = one.invoke(
        "Cats", b"\xff\xd8 bytes", ContentType="image/jpeg", Accept="application/json", CustomAttributes="c"
    )
    assert answered["InvokedProductionVariant"] == "AllTraffic"
    assert (answered["ContentType"], answered["CustomAttributes"]) == ("application/json", "seen")
    told = body_of(answered)
    assert (told["body"], told["text"], told["files"]) == ("\xff\xd8 bytes", "hello", ["text"])
    assert told["env"]["MINE"] == "1"
    kept = {"content-type", "accept", "x-amzn-sagemaker-custom-attributes"}
    assert set(told["headers"]) == {*kept, "host", "accept-encoding", "content-length"}

    one.client.delete_endpoint(EndpointName="Cats")
    gone(one, "Cats")
    assert not psutil.pid_exists(told["pid"])
    assert not one.parts.root.endpoint("Cats").exists()
    assert one.refused("Cats")["Error"]["Code"] == "ValidationError"


def test_names_count_capitals_when_invoked_and_are_unique_without(dogs: Site) -> None:
    assert "not found" in dogs.refused("Dogs")["Error"]["Message"]
    with pytest.raises(ClientError, match="Cannot create already existing endpoint "):
        dogs.client.create_endpoint(EndpointName="DOGS", EndpointConfigName="dogs")


@pytest.mark.parametrize(("status", "side"), [(415, "client"), (500, "server"), (503, "server")])
def test_an_error_of_the_container_is_a_model_error(dogs: Site, status: int, side: str) -> None:
    refused = dogs.refused("dogs", str(status).encode())
    assert (refused["Error"]["Code"], refused["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
    assert (refused["OriginalStatusCode"], refused["OriginalMessage"]) == (status, "you asked for it")
    assert f"Received {side} error ({status}) from primary" in refused["Error"]["Message"]
    assert refused["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/dogs")


def test_a_request_larger_than_the_service_takes(dogs: Site) -> None:
    refused = dogs.refused("dogs", bytes(6_291_457))
    assert "less than or equal to 6291456" in refused["Error"]["Message"]
    assert body_of(dogs.invoke("dogs", b"a" * 6_291_456))["bytes"] == 6_291_456


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"ContentType": "a" * 1025}, "'content-type' failed to satisfy constraint"),
        ({"TargetVariant": "Other"}, "Variant Other"),
        ({"TargetModel": "other.tar.gz"}, "does not have X-Amzn-SageMaker-Target-Model"),
    ],
)
def test_what_a_request_may_not_ask_for(dogs: Site, more: dict[str, str], message: str) -> None:
    refused = dogs.refused("dogs", **more)
    assert refused["Error"]["Code"] == "ValidationError"
    assert message in refused["Error"]["Message"]


def test_a_container_that_ends_fails_its_endpoint_and_its_log_says_why(one: Site) -> None:
    one.deploy("dying", "dies")
    described = one.ended("dying")
    assert described["EndpointStatus"] == "Failed"
    assert "production variant AllTraffic did not pass the ping health check" in described["FailureReason"]
    assert "no such weights" in one.log("dying")
    assert "not found" in one.refused("dying")["Error"]["Message"]
    one.client.delete_endpoint(EndpointName="dying")
    gone(one, "dying")


def test_a_container_that_is_never_ready(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.embedded.hosting.host.START_S", 3.0)
    one.deploy("unready", "unready")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        one.client.delete_endpoint(EndpointName="unready")
    assert "ping health check" in one.ended("unready")["FailureReason"]


def test_a_model_that_is_gone_or_no_archive(one: Site) -> None:
    one.deploy("good")
    one.ended("good")
    s3 = one.running.client("s3")
    s3.put_object(Bucket=BUCKET, Key="good/model.tar.gz", Body=b"not gzip")
    one.client.create_endpoint(EndpointName="damaged", EndpointConfigName="good")
    reason = one.ended("damaged")["FailureReason"]
    assert reason.startswith("Failed to download model data for container")
    assert any("it is damaged" in line for line in one.log("damaged"))
    s3.delete_object(Bucket=BUCKET, Key="good/model.tar.gz")
    one.client.create_endpoint(EndpointName="gone", EndpointConfigName="good")
    assert "good/model.tar.gz" in one.ended("gone")["FailureReason"]


def test_a_model_that_is_not_packed(one: Site) -> None:
    s3 = one.running.client("s3")
    for name in ("text", "code/inference.py"):
        s3.put_object(Bucket=BUCKET, Key=f"plain/model/{name}", Body=b"as it is")
    address = {"S3Uri": f"s3://{BUCKET}/plain/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    source = {"ModelDataUrl": None, "ModelDataSource": {"S3DataSource": address}}
    one.put_model("other/model.tar.gz", {})
    one.client.create_model(
        ModelName="plain", PrimaryContainer={"Image": "i", "ModelDataSource": source["ModelDataSource"]}
    )
    one.client.create_endpoint_config(
        EndpointConfigName="plain",
        ProductionVariants=[
            {
                "VariantName": "v",
                "ModelName": "plain",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
            }
        ],
    )
    one.client.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
    one.ended("plain")
    assert body_of(one.invoke("plain"))["files"] == ["code/inference.py", "text"]


@pytest.mark.slow
def test_a_process_that_dies_is_started_again_but_not_for_ever(one: Site) -> None:
    one.deploy("mortal")
    one.ended("mortal")
    pids: set[int] = set()

    def back() -> bool:
        try:
            pids.add(body_of(one.invoke("mortal"))["pid"])
        except ClientError:
            return False
        return True

    for count in (1, 2, 3):
        until(back, "process")
        assert len(pids) == count
        assert one.refused("mortal", b"die")["Error"]["Code"] == "ModelError"
        until(lambda: not any(map(psutil.pid_exists, pids)), "end of the process")
    assert "ping health check" in one.ended("mortal", "Failed")["FailureReason"]


@pytest.mark.slow
def test_an_update_answers_all_the_time(one: Site) -> None:
    one.deploy("updated", "old")
    one.deploy("new", "new")
    one.deploy("bad", "dies")
    one.ended("updated")
    told: list[str] = []
    one.client.update_endpoint(EndpointName="updated", EndpointConfigName="new")
    with pytest.raises(ClientError, match="Cannot update in-progress endpoint"):
        one.client.update_endpoint(EndpointName="updated", EndpointConfigName="new")
    while not told or told[-1] == "old":
        told.append(body_of(one.invoke("updated"))["text"])
    assert told[-1] == "new"
    assert one.ended("updated")["EndpointConfigName"] == "new"
    one.client.update_endpoint(EndpointName="updated", EndpointConfigName="bad")
    described = one.ended("updated")
    assert "ping health check" in described["FailureReason"]
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "new")
    assert body_of(one.invoke("updated"))["text"] == "new"


def test_a_serverless_endpoint_takes_so_many_requests_at_a_time(one: Site) -> None:
    one.deploy("serverless", variant=SERVERLESS)
    (variant,) = one.ended("serverless")["ProductionVariants"]
    assert variant["CurrentServerlessConfig"]["MaxConcurrency"] == 1
    codes: list[str] = []
    clients = [one.running.client("sagemaker-runtime") for _ in range(3)]  # each takes its time to be made

    def ask(number: int) -> None:
        try:
            clients[number].invoke_endpoint(EndpointName="serverless", Body=b"slow")
            codes.append("ok")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    together(3, ask)
    assert sorted(codes) == ["ThrottlingException", "ThrottlingException", "ok"]
    assert "less than or equal to 4194304" in one.refused("serverless", bytes(4_194_305))["Error"]["Message"]


@pytest.mark.slow
def test_an_endpoint_comes_back_with_the_next_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container(monkeypatch, tmp_path)
    with site(tmp_path / "root") as first:
        first.deploy("dogs", "kept")
        first.deploy("bad", "dies")
        first.ended("dogs")
        first.ended("bad")
        pid = body_of(first.invoke("dogs"))["pid"]
        stray = first.parts.root.endpoint("stray")
        stray.mkdir()
        first.running.client("s3").delete_object(Bucket=BUCKET, Key="dogs/model.tar.gz")
    assert not psutil.pid_exists(pid)
    with site(tmp_path / "root") as second:
        assert second.client.describe_endpoint(EndpointName="dogs")["EndpointStatus"] in (
            "SystemUpdating", "InService",
        )  # fmt: skip
        assert body_of(second.invoke("dogs"))["text"] == "kept"  # asked before it is ready: it waits
        assert second.ended("dogs")["EndpointStatus"] == "InService"
        assert second.ended("bad")["EndpointStatus"] == "Failed"
        assert not stray.exists()


def test_no_machine_for_an_endpoint(one: Site) -> None:
    one.parts.faults.ask_for("capacity", ["job=nowhere"])
    one.deploy("nowhere")
    assert "InsufficientInstanceCapacity" in one.ended("nowhere")["FailureReason"]


@pytest.mark.parametrize(
    ("instance", "gpus"),
    [("ml.gr6.4xlarge", ("0",)), ("ml.p4d.24xlarge", ("0",)), ("ml.m5.large", ()), ("ml.geospatial.x", ())],
)
def test_the_gpus_are_for_machines_that_have_some(
    instance: str, gpus: tuple[str, ...], tmp_path: Path
) -> None:
    parts = SimpleNamespace(environment={}, logs=None, slots=SimpleNamespace(gpu_names=("0",)))
    variant = {"VariantName": "AllTraffic", "InstanceType": instance}
    plan = {"variant": variant, "container": {}}
    host = Host(parts, lambda: pytest.fail("no process"), "dogs", plan, tmp_path)  # type: ignore[arg-type, return-value]
    assert host._spec().gpus == gpus
