"""What ``action=delete`` deletes, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launchers.aws.clients import Clients
from launchers.embedded.root import BUCKET
from launchers.endpoints import standing
from sweepmaker.config.errors import UserError
from tests.embedded.hosting import Site, until
from tests.endpoints.deploying import NOTHING, deploy, last_json, names

MACHINE = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}


@pytest.fixture
def theirs(one: Site) -> Any:
    """A config and a model that no deployment of ours made; they are gone afterwards."""
    one.put_model("x/model.tar.gz", {"text": ""})
    data = f"s3://{BUCKET}/x/model.tar.gz"
    one.client.create_model(ModelName="theirs", PrimaryContainer={"Image": "i", "ModelDataUrl": data})
    one.client.create_endpoint_config(
        EndpointConfigName="theirs",
        ProductionVariants=[{"VariantName": "v", "ModelName": "theirs", **MACHINE}],
    )
    yield
    one.client.delete_endpoint_config(EndpointConfigName="theirs")
    one.client.delete_model(ModelName="theirs")


@pytest.mark.slow
def test_what_an_updated_endpoint_runs_with_stays_while_another_does(
    run: Path, one: Site, account: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("prod", "v2"):
        deploy("action=deploy", f"run={run}", f"name={name}", "confirm=true", *account)
    one.client.update_endpoint(EndpointName="prod", EndpointConfigName="v2")
    one.ended("prod")
    capsys.readouterr()
    deploy("action=delete", "name=prod", "dry_run=true", *account)
    shown = json.loads(capsys.readouterr().out)["requests"]
    assert [list(found["request"].values()) for found in shown] == [["prod"]] * 3
    deploy("action=delete", "name=prod", *account)
    told = capsys.readouterr()
    assert last_json(told.out)["deleted"] == dict.fromkeys(("endpoint", "endpoint config", "model"), "prod")
    assert "the endpoint config v2 stays: it is another deployment's" in told.err
    assert "the model v2 stays: it is another deployment's" in told.err
    assert names(one) == {"endpoints": ["v2"], "configs": ["v2"], "models": ["v2"]}
    deploy("action=delete", "name=v2", *account)
    assert names(one) == NOTHING


def test_what_others_made_stays(
    run: Path, one: Site, account: list[str], theirs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy("action=deploy", f"run={run}", "name=ours", "confirm=true", *account)
    one.client.update_endpoint(EndpointName="ours", EndpointConfigName="theirs")
    one.ended("ours")
    deploy("action=delete", "name=ours", *account)
    told = capsys.readouterr()
    assert set(last_json(told.out)["deleted"]) == {"endpoint", "endpoint config", "model"}
    for what in ("endpoint config", "model"):
        assert f"the {what} theirs stays: deploy.py did not make it" in told.err
    assert names(one) == {"endpoints": [], "configs": ["theirs"], "models": ["theirs"]}
    with pytest.raises(UserError, match=r"endpoint config theirs was not made by deploy\.py"):
        deploy("action=delete", "name=theirs", *account)


def test_an_endpoint_of_others_is_not_deleted(one: Site, account: list[str], theirs: None) -> None:
    one.client.create_endpoint(EndpointName="theirs", EndpointConfigName="theirs")
    one.ended("theirs")
    with pytest.raises(UserError, match=r"the endpoint theirs was not made by deploy\.py"):
        deploy("action=delete", "name=theirs", *account)
    assert names(one)["endpoints"] == ["theirs"]
    one.client.delete_endpoint(EndpointName="theirs")


def test_a_model_is_deleted_although_the_config_of_its_name_is_not_ours(
    run: Path, one: Site, account: list[str], theirs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when clearing up a refused deployment failed."""
    deploy("action=deploy", f"run={run}", "name=half", "confirm=true", *account)
    one.client.delete_endpoint(EndpointName="half")
    one.client.delete_endpoint_config(EndpointConfigName="half")
    one.client.create_endpoint_config(
        EndpointConfigName="half", ProductionVariants=[{"VariantName": "v", "ModelName": "theirs", **MACHINE}]
    )
    gone(one, "half")
    capsys.readouterr()
    deploy("action=delete", "name=half", *account)
    told = capsys.readouterr()
    assert last_json(told.out) == {"deleted": {"model": "half"}}
    assert "the endpoint config half stays: deploy.py did not make it" in told.err
    one.client.delete_endpoint_config(EndpointConfigName="half")


def test_a_deletion_that_fails_ends_with_its_reason(
    run: Path, one: Site, account: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy("action=deploy", f"run={run}", "name=stuck", "confirm=true", *account)
    real, said = standing.described, iter(["InService", "Deleting", "Failed"])

    def described(clients: Clients, kind: Any, name: str) -> dict[str, Any] | None:
        """The services here delete whatever they are asked to, so this stands for one that cannot."""
        found = real(clients, kind, name)
        status = next(said, None) if deleted else None
        return found if status is None else {"EndpointStatus": status, "FailureReason": "a network interface"}

    deleted: list[str] = []
    remove = standing.remove
    with monkeypatch.context() as patch:
        patch.setattr(standing, "described", described)
        patch.setattr(standing, "remove", lambda *what: deleted.append("") or remove(*what))
        with pytest.raises(
            UserError, match="stuck could not be deleted, it is Failed: a network interface"
        ) as caught:
            deploy("action=delete", "name=stuck", *account)
    assert "endpoint config and model are there still" in str(caught.value.fix)
    assert names(one)["models"] == ["stuck"]
    gone(one, "stuck")
    deploy("action=delete", "name=stuck", *account)
    assert names(one) == NOTHING


def test_none_with_that_word(account: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    deploy("action=list", "name=nowhere", *account)
    assert "no endpoints with nowhere in their names" in capsys.readouterr().err


def gone(one: Site, name: str) -> None:
    """The endpoint is gone."""
    until(lambda: name not in names(one)["endpoints"], f"end of {name}")
