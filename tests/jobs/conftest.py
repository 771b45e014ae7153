"""A server that answers as AWS does (moto's), and an environment in which nothing real can be reached."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from launchers.aws.clients import Clients, connect
from tests.images import class_tree
from tests.jobs.aws import ACCOUNT, BUCKET, ENVIRONMENT, REGION, ROLE


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[Mapping[str, str]]:
    """Dummy credentials, no files of the user's, no metadata service, one attempt."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    with mock.patch.dict(os.environ, clean | ENVIRONMENT, clear=True):
        yield ENVIRONMENT


@pytest.fixture(scope="session")
def aws_server(aws_environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a moto server on the loopback interface."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def where(aws_server: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A ``conf/where`` node that leads to the server, which has forgotten everything but one bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws_server)
    request = urllib.request.Request(f"{aws_server}/moto-api/reset", method="POST")
    urllib.request.urlopen(request).close()
    node = {
        "name": "sagemaker", "region": REGION, "profile": None,
        "endpoint_url": aws_server, "s3_endpoint_url": aws_server,
        "role": ROLE, "bucket": BUCKET, "prefix": "sweepmaker", "kms_key": None, "bucket_owner": ACCOUNT,
    }  # fmt: skip
    _connect(node).s3.create_bucket(Bucket=BUCKET)
    return node


@pytest.fixture
def clients(where: dict[str, Any]) -> Clients:
    """Clients of that server."""
    return _connect(where)


def _connect(where: dict[str, Any]) -> Clients:
    """As `connect`, but the service models are read once for all tests (0.3 s each)."""
    made = connect(where)
    made._session._session.register_component("data_loader", _loader())
    return made


@cache
def _loader() -> Any:
    from botocore.loaders import create_loader

    return create_loader()


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return class_tree(tmp_path / "pets", images=2)
