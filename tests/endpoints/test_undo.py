"""What a deployment that is refused or fails clears up, what it waits for meanwhile, and what it tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launchers.aws.clients import Clients
from launchers.embedded.api.calls import Api
from launchers.embedded.errors import ServiceError
from launchers.endpoints import resources, standing
from launchers.endpoints.resources import ENDPOINT, Kind
from sweepmaker.config.errors import ConfigError, UserError
from tests.embedded.hosting import Site
from tests.endpoints.deploying import a_run, deploy, names


def refuse(monkeypatch: pytest.MonkeyPatch, operation: str, code: str, status: int = 400) -> None:
    """Have the services refuse an operation."""
    real = Api.call

    def call(self: Api, asked: str, body: dict[str, Any]) -> Any:
        if asked == operation:
            raise ServiceError(code, "no", status)
        return real(self, asked, body)

    monkeypatch.setattr(Api, "call", call)


def told(err: str, name: str) -> list[str]:
    """The statuses of an endpoint that were told, in their order."""
    return re.findall(rf"^\d\d:\d\d:\d\d  {name}  (\w+)$", err, re.MULTILINE)


def test_an_endpoint_of_others_is_not_waited_for(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be updating for half an hour, and that the name is taken is known already."""
    one.deploy("theirs")
    with monkeypatch.context() as patch:
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
    refuse(monkeypatch, "CreateEndpointConfig", "ValidationException")
    with pytest.raises(UserError, match="AWS refused CreateEndpointConfig") as caught:
        deploy("action=deploy", f"run={run}", "name=early", "confirm=true", *account)
    assert caught.value.fix == "model deleted again: nothing is left of it"
    assert told(capsys.readouterr().err, "early") == []


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
