"""Hostile input to a real server with a real model: refused with a reason, never a 5xx, never a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweepmaker.serving import model as models
from tests.serving.models import make_model
from tests.serving.server.fuzz import fuzz
from tests.serving.server.servers import Server, command, listening

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow's, about such files, in this process
SLOWEST_S = 30.0  # of one answer, however busy the machine is
MOST_BYTES = 1 << 30  # that a worker takes more than at its start: an image of limits.pixels and its resizing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with listening(command(folder, "--engine", "eager", "--workers", "2")) as running:
        running.plan()
        yield running


def hammered(server: Server, folder: Path, count: int, seed: int) -> None:
    before = max(worker.memory_info().rss for worker in server.workers())
    said = len(server.events("output"))
    workers = {worker.pid for worker in server.workers()}
    found = fuzz(server, models.load(folder, engine="eager"), count=count, seed=seed)
    print(
        dict(found.statuses), f"slowest {found.slowest_s:.2f} s, {(found.most_bytes - before) >> 20} MB more"
    )
    assert found.wrong == []
    assert found.statuses[200] > count // 50 and found.statuses[400] > count // 10
    assert found.slowest_s < SLOWEST_S
    assert found.most_bytes - before < MOST_BYTES
    assert {worker.pid for worker in server.workers()} == workers  # none was lost
    assert server.ask("GET", "/ping").status == 200
    assert [line for line in server.log if line["level"] == "error"] == []
    assert len(server.events("output")) == said  # whatever decoders have to say of such files


@pytest.mark.slow
def test_mutated_payloads(server: Server, folder: Path) -> None:
    hammered(server, folder, 500, seed=0)


@pytest.mark.accept
@pytest.mark.timeout(3600)
def test_twenty_thousand_mutated_payloads(server: Server, folder: Path) -> None:
    hammered(server, folder, 20_000, seed=1000)


@pytest.mark.slow
def test_the_description_is_true(server: Server, tmp_path: Path) -> None:
    """Requests of every kind that OpenAPI can mean, right and wrong ones; answers as they are described.

    Not checked: that whatever fits the description is taken. It cannot say which texts are images.
    """
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
            "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "100",
            "--continue-on-failure", "--no-color", "--seed", "1", "--generation-database", "none",
        ],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "No issues found" in done.stdout
    assert server.metric('sweepmaker_requests_total{path="/invocations",status="400"}') > 50
    assert server.metric("sweepmaker_workers_replaced_total") == 0
