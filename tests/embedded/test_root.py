"""Who serves a root: what a killed server left is nobody's word."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from launchers.embedded import __main__ as entry
from launchers.embedded.root import Root


def test_the_word_of_a_killed_server_goes_with_the_next_lock(tmp_path: Path) -> None:
    root = Root.open(tmp_path)
    root.announce("http://127.0.0.1:1")  # of one that was killed, and whose number is ours now
    with root.held():
        assert not root.server.exists()
        assert Root(tmp_path).serving() is None  # it has not said yet where it is
        root.announce("http://127.0.0.1:2")
        found = Root(tmp_path).serving()
        assert found is not None
        assert (found["pid"], found["endpoint_url"]) == (os.getpid(), "http://127.0.0.1:2")
    assert Root(tmp_path).serving() is None


def test_a_server_that_ends_before_it_is_told_to_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = psutil.Popen(["true"])
    gone.wait()
    root = Root.open(tmp_path)
    with root.held():
        root.server.write_text(json.dumps({"pid": gone.pid, "endpoint_url": "http://127.0.0.1:1"}))
        monkeypatch.setattr(psutil, "pid_exists", lambda _: True)
        entry._stop(tmp_path)
    assert f"process {gone.pid}" in capsys.readouterr().err
