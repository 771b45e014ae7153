"""Faults that somebody has edited by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launchers.embedded.faults import Faults
from launchers.embedded.root import Root
from sweepmaker.config.errors import ConfigError
from tests.embedded.test_command import command

BROKEN = [
    "",
    "[",
    "{}",
    "null",
    '[{"kind": "earthquake"}]',
    '[{"kind": "throttle"}]',
    '[{"kind": "throttle", "every": 0}]',
    '[{"kind": "interrupt", "after_s": "soon", "times": 1}]',
    '[{"kind": "capacity", "job": 3, "times": 1}]',
    '[{"kind": "capacity"}]',
    "[7]",
    "[" * 100_000,
]


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: text[:40])
def test_a_broken_file_is_told_once_and_hurts_nobody(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Root.open(tmp_path)
    root.faults.write_text(text)
    faults = Faults(root)
    with pytest.raises(ConfigError, match="fault clear"):
        faults.all()
    with pytest.raises(ConfigError, match="fault clear"):
        faults.ask_for("capacity", [])
    assert root.faults.read_text() == text
    for _ in range(3):
        faults.before_call("ListTrainingJobs")
        assert not faults.capacity("job")
        assert not faults.interrupts("job", seconds=100, line=None)
    assert capsys.readouterr().err.count("cannot be read") == 1
    faults.clear()
    assert faults.all() == []


def test_what_was_asked_for_can_be_read_again(tmp_path: Path) -> None:
    faults = Faults(Root.open(tmp_path))
    faults.ask_for("interrupt", ["after_s=0.7", "job=a=b", "times=2"])
    faults.ask_for("throttle", ["every=3"])
    assert faults.interrupts("a=b", seconds=1, line=None)
    assert faults.all() == [
        {"kind": "interrupt", "after_s": 0.7, "job": "a=b", "times": 1},
        {"kind": "throttle", "every": 3},
    ]


def test_the_command_says_it_in_one_message(tmp_path: Path) -> None:
    root = Root.open(tmp_path / "root")
    root.faults.write_text("{")
    for words in (["fault"], ["fault", "capacity"]):
        ended = command(tmp_path, *words)
        assert (ended.code, ended.out) == (2, "")
        assert "faults.json cannot be read" in ended.err and "Traceback" not in ended.err
    assert json.loads(command(tmp_path, "fault", "clear").out) == []
