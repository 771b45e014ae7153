"""Deployments sent: to the embedded services in this process, with a small container behind the endpoints."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded.api.calls import Api
from launchers.embedded.errors import ServiceError
from launchers.embedded.root import ACCOUNT, BUCKET
from launchers.endpoints import standing
from sweepmaker.config.errors import ConfigError, DataError, UserError
from sweepmaker.run.interrupt import Interrupted
from tests.embedded.hosting import Site, until
from tests.endpoints.deploying import NOTHING, a_run, deploy, last_json, names
from tests.images import photo_jpeg


def test_a_run_is_deployed_asked_and_deleted(
    run: Path, one: Site, account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("action=deploy", f"run={run}", "name=dogs", "confirm=true", *account)
    told = capsys.readouterr()
    assert last_json(told.out) == {"name": "dogs", "status": "InService", "region": "us-east-1"}
    lines = told.err.splitlines()
    price = next(index for index, line in enumerate(lines) if "1 instance hour each hour" in line)
    assert price < next(index for index, line in enumerate(lines) if line.startswith("uploaded"))
    assert "python deploy.py action=delete name=dogs" in told.err
    address = one.client.describe_model(ModelName="dogs")["PrimaryContainer"]["ModelDataUrl"]
    assert re.fullmatch(rf"s3://{BUCKET}/sweepmaker/models/[0-9a-f]{{32}}/model\.tar\.gz", address)

    (tmp_path / "a.jpg").write_bytes(photo_jpeg())
    deploy("action=invoke", "name=dogs", f"images={tmp_path / 'a.jpg'}", *account)
    answer = last_json(capsys.readouterr().out)
    assert {"model.json", "model.safetensors"} <= set(answer["files"])
    assert answer["headers"]["content-type"] == "image/jpeg"
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="not a regular file"):
        deploy("action=invoke", "name=dogs", f"images={tmp_path / 'pipe.jpg'}", *account)
    with pytest.raises(UserError, match="there is no endpoint cats") as caught:
        deploy("action=invoke", "name=cats", f"images={tmp_path / 'a.jpg'}", *account)
    assert "action=list" in str(caught.value.fix)
    deploy("action=list", *account)
    assert re.search(r"dogs +InService", capsys.readouterr().out)

    with pytest.raises(ConfigError, match="of this name already"):
        deploy("action=deploy", f"run={run}", "name=dogs", "confirm=true", *account)
    assert names(one) == {"endpoints": ["dogs"], "configs": ["dogs"], "models": ["dogs"]}

    capsys.readouterr()
    deploy("action=delete", "name=dogs", "dry_run=true", *account)
    shown = json.loads(capsys.readouterr().out)["requests"]
    assert [found["operation"] for found in shown] == [
        "delete_endpoint", "delete_endpoint_config", "delete_model",
    ]  # fmt: skip
    assert names(one)["endpoints"] == ["dogs"]
    deploy("action=delete", "name=dogs", *account)
    assert set(last_json(capsys.readouterr().out)["deleted"]) == {"endpoint", "endpoint config", "model"}
    assert names(one) == NOTHING
    with pytest.raises(UserError, match="there is no endpoint dogs"):
        deploy("action=delete", "name=dogs", *account)


def test_an_endpoint_that_fails_leaves_nothing_and_says_why(
    run: Path, one: Site, account: list[str], tmp_path: Path
) -> None:
    dying = tmp_path / "outputs" / "dying"
    a_run(dying)
    (dying / "model" / "text").write_text("dies")  # what the small container reads
    earlier = [(1, "of an earlier endpoint of that name")]
    one.parts.logs.put(standing.log_group("dying"), "AllTraffic/i-zzzzzzzzzzzzzzzz", earlier)
    with pytest.raises(UserError) as caught:
        deploy("action=deploy", f"run={dying}", "name=dying", "confirm=true", *account)
    assert "did not pass the ping health check" in caught.value.message
    assert "no such weights" in caught.value.message  # the end of its log
    assert "of an earlier endpoint" not in caught.value.message
    assert "nothing is left" in str(caught.value.fix)
    assert names(one) == NOTHING


def test_a_deployment_that_is_refused_half_way_leaves_nothing(
    run: Path, one: Site, account: list[str]
) -> None:
    one.put_model("x/model.tar.gz", {"text": ""})
    machine = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    one.client.create_model(
        ModelName="theirs",
        PrimaryContainer={"Image": "i", "ModelDataUrl": f"s3://{BUCKET}/x/model.tar.gz"},
    )
    one.client.create_endpoint_config(
        EndpointConfigName="taken",
        ProductionVariants=[{"VariantName": "v", "ModelName": "theirs", **machine}],
    )
    with pytest.raises(ConfigError, match="endpoint config of this name already"):
        deploy("action=deploy", f"run={run}", "name=taken", "confirm=true", *account)
    # the model that was made is gone again, and what somebody else made is not touched
    assert names(one) == {"endpoints": [], "configs": ["taken"], "models": ["theirs"]}
    with pytest.raises(UserError, match=r"was not made by deploy\.py"):
        deploy("action=delete", "name=taken", *account)
    one.client.delete_endpoint_config(EndpointConfigName="taken")
    one.client.delete_model(ModelName="theirs")


@pytest.mark.parametrize("lost", ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"])
def test_an_answer_that_got_lost_is_no_name_that_is_taken(
    lost: str, run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """boto3 sends the request again, and the service says that there is one of that name."""
    real, calls = Api.call, list[str]()

    def call(self: Api, operation: str, body: dict[str, Any]) -> Any:
        answer = real(self, operation, body)
        calls.append(operation)
        if (operation, calls.count(operation)) == (lost, 1):
            raise RuntimeError("a line that breaks")
        return answer

    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    with monkeypatch.context() as patch:
        patch.setattr(Api, "call", call)
        deploy("action=deploy", f"run={run}", "name=again", "confirm=true", "wait=false", *account)
    assert last_json(capsys.readouterr().out)["name"] == "again"
    assert names(one) == {"endpoints": ["again"], "configs": ["again"], "models": ["again"]}
    deploy("action=delete", "name=again", *account)


def test_what_is_left_is_named_when_clearing_up_fails_too(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Api.call

    def call(self: Api, operation: str, body: dict[str, Any]) -> Any:
        if operation in ("CreateEndpoint", "DeleteModel"):
            raise ServiceError("AccessDeniedException", f"not authorized to perform: sagemaker:{operation}")
        return real(self, operation, body)

    with monkeypatch.context() as patch:
        patch.setattr(Api, "call", call)
        with pytest.raises(UserError, match="sagemaker:CreateEndpoint") as caught:
            deploy("action=deploy", f"run={run}", "name=rest", "confirm=true", *account)
    assert "clearing up failed too (AWS refuses sagemaker:DeleteModel" in str(caught.value.fix)
    assert "action=delete name=rest" in str(caught.value.fix)
    assert names(one) == {"endpoints": [], "configs": [], "models": ["rest"]}
    deploy("action=delete", "name=rest", *account)
    assert names(one) == NOTHING


def test_interrupted_while_waiting_the_endpoint_goes_on_and_the_way_out_is_told(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def interrupted(*_: Any) -> None:
        raise Interrupted(2)

    with monkeypatch.context() as patch:
        patch.setattr(standing, "wait", interrupted)
        with pytest.raises(Interrupted):
            deploy("action=deploy", f"run={run}", "name=going", "confirm=true", *account)
    assert "to end it: python deploy.py action=delete name=going" in capsys.readouterr().err
    deploy("action=delete", "name=going", *account)  # also while it is being made
    assert names(one) == NOTHING


def test_nobody_to_ask_while_waiting_does_not_end_the_endpoint(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise UserError("the connection to AWS broke")

    with monkeypatch.context() as patch:
        patch.setattr(standing, "described", lost)
        with pytest.raises(UserError, match=r"to end it: .* name=lost"):
            deploy("action=deploy", f"run={run}", "name=lost", "confirm=true", *account)
    assert one.ended("lost")["EndpointStatus"] == "InService"
    deploy("action=delete", "name=lost", *account)


def test_a_half_made_deployment_is_deleted_by_its_name(
    run: Path, one: Site, account: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("action=deploy", f"run={run}", "name=half", "confirm=true", "wait=false", *account)
    assert last_json(capsys.readouterr().out)["status"] == "Creating"
    one.ended("half")
    one.client.delete_endpoint(EndpointName="half")
    until(lambda: names(one)["endpoints"] == [], "end of half")
    capsys.readouterr()
    deploy("action=delete", "name=half", *account)
    assert set(last_json(capsys.readouterr().out)["deleted"]) == {"endpoint config", "model"}
    assert names(one) == NOTHING


def test_a_model_is_registered_and_waits(
    run: Path, one: Site, account: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    without_role = [line for line in account if not line.startswith("where.role=")]
    for version in (1, 2):  # no confirm: no money starts running
        deploy("action=deploy", f"run={run}", "register=dogs", *without_role)
        told = last_json(capsys.readouterr().out)
        assert told["package"].endswith(f":model-package/dogs/{version}")
        assert told["status"] == "PendingManualApproval"
    package = one.client.describe_model_package(ModelPackageName=told["package"])
    assert package["CustomerMetadataProperties"]["sweepmaker:run"] == "outputs/2026-11-23/10-00-00"
    assert names(one) == NOTHING


def test_a_name_that_no_version_can_have_is_told_as_the_service_tells_it(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Api.call

    def call(self: Api, operation: str, body: dict[str, Any]) -> Any:
        if operation == "CreateModelPackage":
            raise ServiceError("ValidationException", f"Model package {ACCOUNT}:dogs already exists.")
        return real(self, operation, body)

    monkeypatch.setattr(Api, "call", call)
    with pytest.raises(
        ConfigError, match=r"is taken: Model package 1234\*\*\*\*9012:dogs already exists"
    ) as caught:
        deploy("action=deploy", f"run={run}", "register=dogs", *account)
    assert (caught.value.key, caught.value.fix) == ("register", "another one")


def test_what_the_endpoint_refuses_is_shown(run: Path, one: Site, account: list[str], tmp_path: Path) -> None:
    deploy("action=deploy", f"run={run}", "name=picky", "confirm=true", *account)
    (tmp_path / "a.png").write_bytes(b"415")  # the small container answers with this status
    with pytest.raises(UserError, match="endpoint picky answered 415: you asked for it"):
        deploy("action=invoke", "name=picky", f"images={tmp_path / 'a.png'}", *account)
    for image, told in (("none.jpg", "cannot be read"), ("notes.txt", "no image file by its name")):
        with pytest.raises(UserError, match=told):
            deploy("action=invoke", "name=picky", f"images={tmp_path / image}", *account)
    with pytest.raises(ConfigError, match="which image"):
        deploy("action=invoke", "name=picky", *account)
    deploy("action=delete", "name=picky", *account)
    with pytest.raises(UserError, match="there is no endpoint picky"):
        deploy("action=invoke", "name=picky", f"images={tmp_path / 'a.png'}", *account)
