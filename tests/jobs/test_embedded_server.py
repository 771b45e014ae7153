"""The server that where.server asks for: found, started once, reused, and its last words when it dies."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from launchers.aws import embedded_server
from launchers.aws.clients import connect
from launchers.aws.embedded_server import ensure, find
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import SECRET

COMMAND = [sys.executable, str(Path(__file__).with_name("stand_in.py"))]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "root"
    yield folder
    for pid in started(folder):
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    for child in embedded_server._children:
        child.wait()
    embedded_server._children.clear()


def started(root: Path) -> list[int]:
    path = root / "started"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def where(root: Path, **settings: Any) -> dict[str, Any]:
    return {
        "name": "embedded",
        "region": "us-east-1",
        "root": str(root),
        "server": {"idle_s": 60, **settings},
    }


def test_started_once_and_reused(root: Path, aws_environment: Any) -> None:
    first = ensure(where(root, cores=2, toolkit_python=None), COMMAND)
    assert ensure(where(root), COMMAND) == first == find(where(root))
    assert first.credentials == ("AKIAROOT", "secret")
    assert len(started(root)) == 1
    words, names = json.loads((root / "words").read_text())
    assert words == ["--root", str(root), "--port", "0", "--idle", "60", "cores=2"]
    assert [name for name in names if name.startswith("AWS_")] == []  # the user's keys stay with the user
    assert root.stat().st_mode & 0o777 == 0o700
    assert os.getsid(started(root)[0]) == started(root)[0]  # Ctrl-C of this terminal does not reach it


def test_clients_use_its_key_and_addresses(
    root: Path, aws_environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-it")
    address = ensure(where(root), COMMAND).endpoint_url
    clients = connect({**where(root), "profile": None})
    assert {clients.sagemaker.meta.endpoint_url, clients.s3.meta.endpoint_url} == {address}
    credentials = clients._session.get_credentials()
    assert (credentials.access_key, credentials.token) == ("AKIAROOT", None)
    assert credentials.secret_key != SECRET
    assert clients.given["root"] == str(root) and not clients.given.get("endpoint_url")
    assert clients.again().sagemaker.meta.endpoint_url == address


def test_eight_launches_at_once_have_one_server(root: Path) -> None:
    found: list[Any] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure(where(root, slow=0.2), COMMAND)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({one.endpoint_url for one in found}) == 1
    assert len(started(root)) == 1


def test_one_that_was_killed_is_replaced(root: Path) -> None:
    first = ensure(where(root), COMMAND)
    os.kill(started(root)[0], signal.SIGKILL)
    embedded_server._children[0].wait()
    assert find(where(root)) is None
    second = ensure(where(root), COMMAND)
    assert second.endpoint_url != first.endpoint_url and len(started(root)) == 2


def test_a_clock_that_was_set_hides_no_server(root: Path) -> None:
    first = ensure(where(root), COMMAND)
    told = json.loads((root / "server.json").read_text())
    (root / "server.json").write_text(json.dumps({**told, "started": told["started"] - 3600}))
    assert find(where(root)) == first
    assert ensure(where(root), COMMAND) == first
    assert len(started(root)) == 1


def test_the_number_of_a_dead_one_is_not_trusted(root: Path) -> None:
    root.mkdir()
    told = {"pid": os.getpid(), "started": 1000.0, "endpoint_url": "http://127.0.0.1:9"}
    (root / "server.json").write_text(json.dumps(told))
    assert find(where(root)) is None


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"pid": "x", "started": 1, "endpoint_url": "a"}']
)
def test_a_damaged_note_is_none(content: str, root: Path) -> None:
    root.mkdir()
    (root / "server.json").write_text(content)
    assert find(where(root)) is None


def test_one_that_dies_says_why(root: Path) -> None:
    root.mkdir()
    (root / "server.log").write_text("old news\n")
    with pytest.raises(UserError) as raised:
        ensure(where(root, die="no module named moto"), COMMAND)
    assert "exit code 1" in str(raised.value) and "no module named moto" in str(raised.value)
    assert "old news" not in str(raised.value)


def test_one_that_says_nothing_is_ended(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_server, "_START_S", 0.5)
    with pytest.raises(UserError, match="did not start"):
        ensure(where(root, mute=1), COMMAND)
    (child,) = embedded_server._children
    assert child.returncode is not None


def test_one_started_by_hand_meanwhile_is_used(root: Path) -> None:
    by_hand = ensure(where(root), COMMAND)
    (root / "start.lock").unlink()
    told = (root / "server.json").read_text()
    (root / "server.json").unlink()

    def announce() -> None:
        (root / "server.json").write_text(told)

    timer = threading.Timer(0.3, announce)
    timer.start()
    assert ensure(where(root), COMMAND).endpoint_url == by_hand.endpoint_url
    timer.join()


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"where\.root: .* cannot be made"):
        ensure(where(tmp_path / "file" / "root"), COMMAND)
