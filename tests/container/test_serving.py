"""``serve``: the image of an endpoint, on the port that SageMaker asks, ended by its SIGTERM with 0."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweepmaker.container.folders import Folders
from sweepmaker.serving.server.life import url
from tests.container.containers import CHECKOUT, Container, ended
from tests.images import photo_jpeg
from tests.serving.models import make_model
from tests.serving.server.servers import Server, gone


@pytest.mark.slow
def test_a_model_folder_is_served(tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    make_model(container.base)
    process = container.image(
        CHECKOUT, "serve",
        SAGEMAKER_BIND_TO_PORT="0", SAGEMAKER_MODEL_SERVER_WORKERS="1", SAGEMAKER_MAX_PAYLOAD_IN_MB="1",
    )  # fmt: skip
    server = Server(process)
    server.read_log()
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["url"]
    assert address.startswith("http://127.0.0.1:")  # not a container: this machine only
    server.port = int(address.rpartition(":")[2])
    try:
        server.ready()
        assert server.plan()["workers"] == 1
        found = server.ask(
            "POST", "/invocations", photo_jpeg(0), content_type="image/jpeg", accept="text/plain"
        )
        assert found.status == 200 and found.body.isdigit()
        assert server.ask("POST", "/invocations", b"x" * (2**20 + 1)).status == 413
        family = server.family()
        assert server.end() == 0
        assert gone(family)
    finally:
        process.kill()
        process.stdout.close()


def test_without_a_model_it_says_so(tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    container.base.joinpath("model").rmdir()
    done = ended(container.image(CHECKOUT, "serve"))
    assert done.code == 2
    assert (
        done.err == f"error: {container.base / 'model'} is missing: the endpoint's model brings no artifact\n"
    )
    assert done.out == ""


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    container = Container(tmp_path / "ml", {})
    done = ended(container.image(CHECKOUT, "serve", SAGEMAKER_BIND_TO_PORT="http"))
    assert done.code == 2 and done.err.startswith("error: SAGEMAKER_BIND_TO_PORT: 'http' is not allowed\n")


def test_only_a_real_container_listens_on_every_interface() -> None:
    assert Folders.of({}) == Folders(Path("/opt/ml")) == Folders.of({"SAGEMAKER_BASE_DIR": ""})
    assert url("0.0.0.0", 8080) == "http://127.0.0.1:8080"
    assert url("::1", 80) == "http://[::1]:80"
