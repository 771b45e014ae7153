"""The command line of the embedded SageMaker: mistakes are one message each."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.integration.runs import Ended, module


def command(folder: Path, *words: str) -> Ended:
    return module("launchers.embedded", *words, "--root", str(folder / "root"), cwd=folder)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["srve"], 2, "serve | stop | env | fault"),
        (["stop", "now"], 2, "serve | stop | env | fault"),
        (["runtme=fork"], 2, "runtime"),
        (["runtime=docker"], 2, "auto | fork | process | toolkit"),
        (["serve", "cores"], 2, "key=value"),
        (["cores=0"], 2, "cores"),
        (["cores=many"], 2, "cores"),
        (["stop_grace_s=-1"], 2, "stop_grace_s"),
        (["images={'*': docker}"], 2, "images"),
        (["toolkit_python=/nowhere/python", "runtime=toolkit"], 2, "make toolkit"),
        (["fault", "earthquake"], 2, "interrupt"),
        (["fault", "interrupt"], 2, "after_s"),
        (["fault", "interrupt", "after_s=soon"], 2, "a number"),
        (["fault", "interrupt", "when=now"], 2, "after_s=..."),
        (["fault", "throttle"], 2, "every=K"),
        (["fault", "throttle", "every=0"], 2, "positive"),
        (["fault", "interrupt", "after_s=1", "after_steps=2"], 2, "one moment"),
        (["fault", "throttle", "every=1.5"], 2, "a whole number"),
        (["fault", "capacity", "job="], 2, "is empty"),
        (["fault", "clear", "all"], 2, "takes no words"),
        (["--port", "99999"], 2, "99999"),
        (["--idle", "nan"], 2, "--idle"),
        (["--idle=-5"], 2, "--idle"),
        (["env"], 1, "no server works"),
    ],
    ids=str,
)  # fmt: skip
def test_mistakes(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    ended = command(tmp_path, *words)
    assert ended.code == code, ended.err
    assert told in ended.err
    assert "error: " in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = command(tmp_path, "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "--port" in ended.err
    assert "Traceback" not in ended.err


def test_broken_settings(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "embedded.yaml").write_text("cores: [")
    ended = command(tmp_path)
    assert ended.code == 2
    assert "embedded.yaml" in ended.err or "settings of the embedded server" in ended.err
    assert "Traceback" not in ended.err


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    ended = command(tmp_path)
    assert ended.code in (1, 2)
    assert "root" in ended.err
    assert "Traceback" not in ended.err


def test_it_ends_by_itself_and_leaves_no_word(tmp_path: Path) -> None:
    ended = command(tmp_path, "--idle", "0.2", "runtime=process")
    assert ended.code == 0
    assert json.loads(ended.out)["endpoint_url"].startswith("http://127.0.0.1:")
    assert "nothing has happened" in ended.err
    assert not (tmp_path / "root" / "server.json").exists()
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "root" / "key.json").stat().st_mode & 0o777 == 0o600


def test_faults_are_asked_for_listed_and_forgotten(tmp_path: Path) -> None:
    assert json.loads(command(tmp_path, "fault").out) == []
    asked = json.loads(command(tmp_path, "fault", "interrupt", "after_s=2", "job=*-002-*", "times=2").out)
    assert asked == [{"kind": "interrupt", "after_s": 2.0, "job": "*-002-*", "times": 2}]
    assert json.loads(command(tmp_path, "fault").out) == asked
    assert json.loads(command(tmp_path, "fault", "clear").out) == []


def test_stopping_what_does_not_run_is_no_mistake(tmp_path: Path) -> None:
    ended = command(tmp_path, "stop")
    assert (ended.code, "no server" in ended.err) == (0, True)
    assert not (tmp_path / "root").exists()


def test_a_folder_of_somebody_else_is_no_root(tmp_path: Path) -> None:
    """An unset variable in --root "$ROOT" must not put a secret key into a checkout."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "train.py").touch()
    ended = command(tmp_path)
    assert ended.code == 1 and "no root of an embedded SageMaker" in ended.err
    empty = module("launchers.embedded", "--root", "", cwd=tmp_path)
    assert empty.code == 2 and "--root: is empty" in empty.err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["root", "train.py"]


def test_a_refused_fault_makes_no_folder(tmp_path: Path) -> None:
    assert command(tmp_path, "fault", "earthquake").code == 2
    assert not (tmp_path / "root").exists()
    asked = command(tmp_path, "fault", "throttle", "every=3")
    assert asked.code == 0 and "no server works in" in asked.err
