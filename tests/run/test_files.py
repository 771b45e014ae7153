"""What a run writes is whole or absent, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run import atomic, checkpoints, reader, record
from sweepmaker.run.csv_logger import MetricsCSV
from sweepmaker.run.folder import RunFolder


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.json"
    atomic.write_json(path, {"value": 1})
    monkeypatch.setattr(os, "fsync", _full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_json(path, {"value": 2})
    assert json.loads(path.read_text()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_no_nan(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"x": [float("nan"), float("inf"), 1.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [None, None, 1.5]}


def _checkpoint(value: float) -> dict[str, Any]:
    extra = {"format": checkpoints.FORMAT, "value": value}
    return {checkpoints.EXTRA: extra, "state_dict": {"w": torch.full((1000,), value)}}


def _value(folder: Path) -> tuple[str, float]:
    found = checkpoints.load_latest(folder)
    assert found is not None
    return found[0].name, found[1][checkpoints.EXTRA]["value"]


def test_the_checkpoint_before_is_kept(tmp_path: Path) -> None:
    assert checkpoints.load_latest(tmp_path) is None
    for value in (1.0, 2.0, 3.0):
        checkpoints.save(tmp_path, _checkpoint(value))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert _value(tmp_path) == ("last.ckpt", 3.0)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "text", "older format"])
def test_a_broken_checkpoint_is_passed_over(damage: str, tmp_path: Path) -> None:
    checkpoints.save(tmp_path, _checkpoint(1.0))
    checkpoints.save(tmp_path, _checkpoint(2.0))
    last = tmp_path / "last.ckpt"
    content = bytearray(last.read_bytes())
    if damage == "flipped":
        content[content.index(torch.full((2,), 2.0).numpy().tobytes()) + 40] ^= 1
    elif damage == "truncated":
        del content[len(content) // 2 :]
    elif damage == "older format":
        torch.save({checkpoints.EXTRA: {"format": 0}}, last)
        content = bytearray(last.read_bytes())
    else:
        content = bytearray(b"" if damage == "empty" else b"hello")
    last.write_bytes(bytes(content))
    assert _value(tmp_path) == ("previous.ckpt", 1.0)
    (tmp_path / "previous.ckpt").write_bytes(b"")
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.load_latest(tmp_path)


def test_a_kill_between_the_renames_loses_nothing(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, _checkpoint(1.0))
    checkpoints.save(tmp_path, _checkpoint(2.0))
    (tmp_path / "last.ckpt").rename(tmp_path / "next.ckpt")
    assert _value(tmp_path) == ("next.ckpt", 2.0)


def test_a_full_disk_keeps_the_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save(tmp_path, _checkpoint(1.0))
    monkeypatch.setattr(torch, "save", _full)
    with pytest.raises(UserError, match=r"(?s)No space left.*free disk space.*resume="):
        checkpoints.save(tmp_path, _checkpoint(2.0))
    assert _value(tmp_path) == ("last.ckpt", 1.0)


def test_a_tensor_of_code_is_not_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({checkpoints.EXTRA: Evil()}, tmp_path / "last.ckpt")
    with pytest.raises(UserError):
        checkpoints.load_latest(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_rows_grow_are_cut_back_and_continue(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    first = MetricsCSV(path)
    first.log_metrics({"a": 0.1, "epoch": 0}, step=4)
    first.log_metrics({"b": 1e-05, "epoch": 0}, step=4)
    first.log_metrics({"a": 0.2, "c": 7.0, "epoch": 1}, step=8)
    assert first.rows == 2
    first.finalize("success")
    with path.open("a") as file:
        file.write("2,12,0.5,0.3")  # cut off by a kill
    second = MetricsCSV(path)
    assert second.rows == 2
    second.truncate(1)
    second.log_metrics({"a": 0.25, "epoch": 1}, step=8)
    second.flush()
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,step,seconds,a,b"
    assert [line.split(",")[0:2] + line.split(",")[3:] for line in lines[1:]] == [
        ["0", "4", "0.1", "1e-05"],
        ["1", "8", "0.25", ""],
    ]


def test_a_run_that_was_killed_reads_as_interrupted(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    entry = {"state": "running", "pid": dead.pid, "heartbeat": record.now()}
    atomic.write_json(tmp_path / "run.json", entry)
    found = reader.read(tmp_path)
    assert found is not None and found["state"] == "interrupted"
    atomic.write_json(tmp_path / "run.json", {**entry, "pid": os.getppid()})
    found = reader.read(tmp_path)
    assert found is not None and found["state"] == "running"
    stale = {**entry, "pid": os.getppid(), "heartbeat": "2020-01-01T00:00:00+00:00"}
    atomic.write_json(tmp_path / "run.json", stale)
    found = reader.read(tmp_path)
    assert found is not None and found["state"] == "interrupted"


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.claim()
    with pytest.raises(ConfigError, match="another run is writing"):
        second.claim()
    first.release()
    second.claim()
    second.release()


@pytest.mark.parametrize(
    ("where", "code"), [("plain", 143), ("deferred", 143), ("twice", 143), ("in __del__", 143)]
)
def test_sigterm_ends_the_process_with_its_code(where: str, code: int) -> None:
    program = {
        "plain": "kill(); time.sleep(60)",
        "deferred": "with interrupt.deferred():\n kill(); done = interrupt.requested() == 15\nassert False",
        "twice": "with interrupt.deferred():\n kill(); kill(); time.sleep(60)",
        "in __del__": "class A:\n def __del__(self): kill()\na = A(); del a; time.sleep(60)",
    }[where]
    head = (
        "import os, signal, sys, time\nfrom sweepmaker.run import interrupt\ninterrupt.install()\n"
        "def kill():\n os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    body = "".join(f"    {line}\n" for line in program.splitlines())
    text = f"{head}try:\n{body}except interrupt.Interrupted as stop:\n    sys.exit(stop.exit_code)\n"
    source = str(Path(atomic.__file__).parents[2])
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", text], env={**os.environ, "PYTHONPATH": source}, timeout=30)
    assert done.returncode == code
    assert time.monotonic() - start < 25
