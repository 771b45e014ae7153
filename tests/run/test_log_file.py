"""The log file of a run: one for all its processes, and a full disk that does not bury the message."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sweepmaker.run.log_file import LogFile
from tests.run.disk import small_files


def say(handler: logging.Handler, message: str) -> None:
    handler.handle(logging.LogRecord("name", logging.INFO, "file.py", 1, message, None, None))


def test_the_main_process_writes(tmp_path: Path) -> None:
    handler = LogFile(tmp_path / "train.log")
    assert (tmp_path / "train.log").exists()
    say(handler, "Grüße")
    handler.close()
    assert (tmp_path / "train.log").read_text(encoding="utf-8") == "Grüße\n"


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "NODE_RANK"])
def test_the_others_do_not(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    handler = LogFile(tmp_path / "train_ddp_process_1.log")
    say(handler, "hello")
    handler.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile(tmp_path / "train.log")
    with small_files(10):
        for _ in range(3):
            say(handler, "more than ten bytes")
    err = capsys.readouterr().err
    assert err == f"{tmp_path / 'train.log'} ends here: File too large\n"


def test_a_mistake_in_a_call_is_still_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler = LogFile(tmp_path / "train.log")
    handler.handle(logging.LogRecord("name", logging.INFO, "file.py", 1, "%d", ("x",), None))
    handler.close()
    assert "Logging error" in capsys.readouterr().err
