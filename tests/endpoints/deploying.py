"""Deployments inside the test's process: the command line as a list, composed as deploy.py composes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from launchers.embedded.root import ACCOUNT, BUCKET, ROLE
from launchers.endpoints import task
from tests.embedded.hosting import Site
from tests.serving.models import make_model

CHECKOUT = Path(__file__).resolve().parents[2]


def deploy(*lines: str) -> None:
    """``python deploy.py LINES``, for what is about endpoints."""
    with composed(*lines) as cfg:
        task.run(cfg, list(lines))


@contextmanager
def composed(*lines: str) -> Iterator[Any]:
    """The config of a command line."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        yield compose("deploy", list(lines))


def at(site: Site, monkeypatch: pytest.MonkeyPatch, *, name: str = "sagemaker") -> list[str]:
    """The words that lead to the services of a test, and the key in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", site.running.key.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", site.running.key.secret_access_key)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    address = site.running.url
    return [
        f"where.name={name}", "where.region=us-east-1", f"where.endpoint_url={address}",
        f"where.s3_endpoint_url={address}", f"where.bucket={BUCKET}", f"where.role='{ROLE}'",
        f"where.bucket_owner='{ACCOUNT}'", "endpoint.image=registry/sweepmaker:1",
    ]  # fmt: skip


def a_run(folder: Path) -> Path:
    """A run's folder with nothing in it but its model."""
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder)
    (folder / "run.json").write_text(json.dumps({"state": "completed"}))
    return folder


def last_json(text: str) -> dict[str, Any]:
    """What the last line of stdout says."""
    return dict(json.loads(text.strip().splitlines()[-1]))


NOTHING: dict[str, list[str]] = {"endpoints": [], "configs": [], "models": []}


def names(one: Site) -> dict[str, list[str]]:
    """What is there of each kind."""
    return {
        "endpoints": [found["EndpointName"] for found in one.client.list_endpoints()["Endpoints"]],
        "configs": [
            found["EndpointConfigName"] for found in one.client.list_endpoint_configs()["EndpointConfigs"]
        ],
        "models": [found["ModelName"] for found in one.client.list_models()["Models"]],
    }
