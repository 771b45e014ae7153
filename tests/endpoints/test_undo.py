"""What a deployment that is refused or fails clears up, what it waits for meanwhile, and what it tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ConnectionClosedError, ReadTimeoutError

from launchers.aws.clients import Clients
from launchers.embedded.api.calls import Api
from launchers.embedded.errors import ServiceError
from launchers.endpoints import resources, standing
from launchers.endpoints.resources import ENDPOINT, Kind
from sweepmaker.config.errors import ConfigError, UserError
from tests.embedded.hosting import Site
from tests.endpoints.deploying import a_run, deploy, names


def refuse(monkeypatch: pytest.MonkeyPatch, operation: str, error: Exception) -> None:
    """Have the services fail at an operation, or the line to them."""
    if isinstance(error, BotoCoreError):
        sent = BaseClient._make_api_call

        def send(self: BaseClient, asked: str, request: dict[str, Any]) -> Any:
            if asked == operation:
                raise error
            return sent(self, asked, request)

        monkeypatch.setattr(BaseClient, "_make_api_call", send)
        return
    real = Api.call

    def call(self: Api, asked: str, body: dict[str, Any]) -> Any:
        if asked == operation:
            raise error
        return real(self, asked, body)

    monkeypatch.setattr(Api, "call", call)


NAME_IS_FREE = "launchers.endpoints.deploy._is_free"
PASSING = {
    "slow down": ServiceError("ThrottlingException", "Rate exceeded"),
    "unwell": ServiceError("InternalFailure", "oh", 500),
    "lost": ConnectionClosedError(endpoint_url="https://x"),
}


def told(err: str, name: str) -> list[str]:
    """The statuses of an endpoint that were told, in their order."""
    return re.findall(rf"^\d\d:\d\d:\d\d  {name}  (\w+)$", err, re.MULTILINE)


def test_an_endpoint_of_others_is_not_waited_for(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be updating for half an hour, and that the name is taken is known already."""
    one.deploy("theirs")
    with pytest.raises(ConfigError, match="an endpoint of this name already") as caught:
        deploy("action=deploy", f"run={run}", "name=theirs", "confirm=true", *account)
    assert "python deploy.py action=delete name=theirs" in str(caught.value.fix)
    with monkeypatch.context() as patch:
        patch.setattr(NAME_IS_FREE, lambda *_: None)  # theirs came a moment later
        patch.setattr(standing, "wait", lambda *_, **__: pytest.fail("waits for what is not ours"))
        with pytest.raises(ConfigError, match="a model of this name already"):
            deploy("action=deploy", f"run={run}", "name=theirs", "confirm=true", *account)
    assert one.ended("theirs")["EndpointStatus"] == "InService"
    one.client.delete_endpoint(EndpointName="theirs")
    one.client.delete_endpoint_config(EndpointConfigName="theirs")
    one.client.delete_model(ModelName="theirs")


def test_nothing_is_told_of_an_endpoint_that_was_never_made(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    refuse(monkeypatch, "CreateEndpointConfig", ServiceError("ValidationException", "no"))
    with pytest.raises(UserError, match="AWS refused CreateEndpointConfig") as caught:
        deploy("action=deploy", f"run={run}", "name=early", "confirm=true", *account)
    assert caught.value.fix == "model deleted again: nothing is left of it"
    assert told(capsys.readouterr().err, "early") == []


@pytest.mark.parametrize("what", PASSING)
def test_who_loses_sight_of_an_endpoint_is_not_told_to_make_another(
    what: str, run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run has a name of its own, so a second one would be paid for beside the first."""
    with monkeypatch.context() as patch:
        patch.setattr(NAME_IS_FREE, lambda *_: None)  # asked while the line still held
        refuse(patch, "DescribeEndpoint", PASSING[what])
        with pytest.raises(UserError) as caught:
            deploy("action=deploy", f"run={run}", "name=away", "confirm=true", *account)
    fix = str(caught.value.fix)
    see, end = (f"python deploy.py action={action} name=away" for action in ("list", "delete"))
    assert fix.startswith(f"before it is run again, see what there is: {see} where.name=sagemaker")
    assert f"endpoint away may go on, to end it: {end}" in fix
    assert "created twice" not in fix
    assert "away" in names(one)["endpoints"]
    deploy("action=delete", "name=away", *account)


@pytest.mark.parametrize("what", PASSING)
def test_who_loses_sight_of_a_version_is_not_told_to_make_another(
    what: str, run: Path, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "CreateModelPackage", PASSING[what])
    with pytest.raises(UserError) as caught:
        deploy("action=deploy", f"run={run}", "register=seen", *account)
    fix = str(caught.value.fix)
    assert fix.startswith(
        "before it is run again, see what there is: aws sagemaker list-model-packages "
        "--model-package-group-name seen --region us-east-1 --endpoint-url http://127.0.0.1:"
    )  # the account that was asked, and no other


def test_what_is_left_is_to_be_looked_at_before_it_is_run_again(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, "CreateEndpointConfig", PASSING["lost"])
        with patch.context() as inner:
            refuse(inner, "DeleteModel", PASSING["unwell"])
            with pytest.raises(UserError) as caught:
                deploy("action=deploy", f"run={run}", "name=rest", "confirm=true", *account)
        fix = str(caught.value.fix)
        assert fix.startswith(
            "before it is run again, see what there is: python deploy.py action=list name=rest"
        )
        assert "clearing up failed too (AWS has a problem of its own" in fix
        deploy("action=delete", "name=rest", *account)
        with pytest.raises(UserError) as caught:
            deploy("action=deploy", f"run={run}", "name=clean", "confirm=true", *account)
    # of what is all gone nothing doubles
    assert "connection to AWS broke" in caught.value.message
    assert str(caught.value.fix).startswith("run it again")
    assert str(caught.value.fix).endswith("model deleted again: nothing is left of it")


def test_an_endpoint_that_was_asked_for_and_is_not_seen_may_still_come(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, "CreateEndpoint", PASSING["lost"])
    with pytest.raises(UserError, match="connection to AWS broke") as caught:
        deploy("action=deploy", f"run={run}", "name=late", "confirm=true", *account)
    fix = str(caught.value.fix)
    assert "see what there is: python deploy.py action=list name=late" in fix
    assert "endpoint late may still come: python deploy.py action=delete name=late" in fix
    assert "nothing is left" not in fix
    assert names(one) == {"endpoints": [], "configs": [], "models": []}


def test_an_endpoint_that_does_not_answer_in_time_is_told_as_that(
    account: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    refuse(monkeypatch, "InvokeEndpoint", ReadTimeoutError(endpoint_url="https://x"))
    with pytest.raises(UserError, match=r"endpoint slow has not answered within \d+ s") as caught:
        deploy("action=invoke", "name=slow", f"images={tmp_path / 'a.jpg'}", *account)
    assert "/aws/sagemaker/Endpoints/slow" in str(caught.value.fix)


def test_that_an_endpoint_failed_is_told_once(
    one: Site, account: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_dying(tmp_path, account)
    statuses = told(capsys.readouterr().err, "dying")
    assert (statuses.count("Failed"), statuses[-1]) == (1, "deleted")
    assert not any("dying" in there for there in names(one).values())


def test_a_failed_endpoint_whose_deletion_fails_unseen_is_not_waited_for_without_end(
    one: Site, account: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deletion failed between two looks: the endpoint is Failed in both."""
    looks: int | None = None

    def remove(clients: Clients, kind: Kind, name: str, ours: Callable[[str | None], bool]) -> bool | None:
        nonlocal looks
        if kind is not ENDPOINT:
            return resources.remove(clients, kind, name, ours)
        looks = 0
        return True

    def described(clients: Clients, kind: Kind, name: str) -> dict[str, Any] | None:
        nonlocal looks
        if looks is not None:
            looks += 1
            assert looks < 1000, "waits for ever"
        return resources.described(clients, kind, name)

    monkeypatch.setattr(standing, "_LOOK_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(standing, "remove", remove)
        patch.setattr(standing, "described", described)
        failed = deploy_dying(tmp_path, account)
    assert "clearing up failed too (endpoint dying could not be deleted, it is Failed" in str(failed.fix)
    assert "action=delete name=dying" in str(failed.fix)
    deploy("action=delete", "name=dying", *account)
    assert not any("dying" in there for there in names(one).values())


def deploy_dying(folder: Path, account: list[str]) -> UserError:
    """An endpoint that fails; how that was told."""
    dying = a_run(folder / "outputs" / "dying")
    (dying / "model" / "text").write_text("dies")  # what the small container reads
    with pytest.raises(UserError, match="endpoint dying is Failed") as caught:
        deploy("action=deploy", f"run={dying}", "name=dying", "confirm=true", *account)
    return caught.value
