"""run.json: written whole from the first second on, and read with the state that really holds."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run import atomic, reader, record, sweep
from sweepmaker.run.record import RunRecord, failure_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def write(folder: Path, **fields: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    known = {"state": "running", "pid": os.getpid(), "heartbeat": record.now(), "job": None, **fields}
    (folder / "run.json").write_text(json.dumps(known))
    return folder


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_all_fields_stand_there_from_the_start(path: Path) -> None:
    run = RunRecord(path, {"seed": 3})
    found = read(path)
    run.end("completed")
    assert set(found) == {
        "schema", "state", "pid", "host", "heartbeat", "objective", "overrides", "seed", "weights", "choices",
        "data", "git", "versions", "hardware", "timing", "job", "failure",
    }  # fmt: skip
    assert (found["state"], found["pid"], found["seed"]) == ("running", os.getpid(), 3)


def test_the_end_is_said_with_its_time(path: Path) -> None:
    run = RunRecord(path, {})
    run.timing(fit_seconds=1.5)
    run.end("failed", {"type": "KeyError"})
    found = read(path)
    assert (found["state"], found["failure"]) == ("failed", {"type": "KeyError"})
    assert found["timing"]["fit_seconds"] == 1.5
    assert found["timing"]["start"] <= found["timing"]["end"]


def test_the_heart_beats_until_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "HEARTBEAT_S", 0.01)
    beats = threading.Semaphore(0)
    write_json = atomic.write_json
    monkeypatch.setattr(atomic, "write_json", lambda *a: (write_json(*a), beats.release())[0])
    run = RunRecord(path, {})
    for _ in range(4):
        assert beats.acquire(timeout=10)
    run.end("completed")
    assert not run._thread.is_alive()
    assert read(path)["state"] == "completed"


def test_a_full_disk_is_reported_and_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunRecord(path, {})
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING):
        broken.setattr(os, "fsync", full)
        run.update(seed=7)
    assert "No space left" in caplog.text
    assert read(path)["seed"] is None
    run.end("completed")
    assert read(path)["seed"] == 7


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_run_whose_end_cannot_be_written_has_failed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunRecord(path, {}, resume=path.parent)
    with monkeypatch.context() as broken, pytest.raises(UserError) as error:
        broken.setattr(os, "fsync", full)
        run.end("completed")
    assert f"could not write {path}: No space left on device" in str(error.value)
    assert f"free disk space, then continue with: python train.py resume={path.parent}" in str(error.value)
    assert (read(path)["state"], error.value.exit_code) == ("running", 1)
    run.end("failed")  # the disk has room again
    assert read(path)["state"] == "failed"


def test_a_run_that_cannot_say_that_it_began_does_not_begin(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    before = set(threading.enumerate())
    with pytest.raises(UserError, match="then start it again"):
        RunRecord(path, {}, resume=path.parent)
    assert set(threading.enumerate()) <= before  # and no heart beats on
    assert list(path.parent.iterdir()) == []


def test_readers_never_see_half_of_it(path: Path) -> None:
    run = RunRecord(path, {"overrides": ["x" * 50] * 200})
    stop = threading.Event()
    seen: list[int] = []

    def keep_reading() -> None:
        while not stop.is_set():
            seen.append(len(read(path)["overrides"]))

    thread = threading.Thread(target=keep_reading)
    thread.start()
    for number in range(50):
        run.update(seed=number)
    stop.set()
    thread.join()
    run.end("completed")
    assert set(seen) == {200}


def test_a_failure_names_the_last_frame_first() -> None:
    def inner() -> None:
        raise KeyError("missing")

    try:
        inner()
    except KeyError as error:
        found = failure_of(error)
    assert (found["type"], found["message"]) == ("KeyError", "'missing'")
    assert found["frames"][0].endswith(" inner")
    assert Path(__file__).name in found["frames"][0]


def test_a_failure_far_down_is_cut_short() -> None:
    def deep(left: int) -> None:
        deep(left - 1) if left else (_ for _ in ()).throw(ValueError("deep"))

    with pytest.raises(ValueError) as error:
        deep(50)
    assert len(failure_of(error.value)["frames"]) == 8


# --- reading


def test_no_record(tmp_path: Path) -> None:
    assert reader.read(tmp_path) is None


BROKEN = [
    "[]", "{}", "{", "", '{"status": 1}', '{"state": 1}',
    '{"state": "running", "heartbeat": "soon", "pid": 1, "host": "elsewhere"}',
    '{"state": "failed", "failure": "no"}', '{"state": "failed", "overrides": {}}',
    '{"state": "failed", "timing": null}', '{"state": "completed", "objective": 3}',
]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError):
        reader.read(tmp_path)
    with pytest.raises(ConfigError) as error:
        reader.read_to_continue(tmp_path)
    assert f"{tmp_path / 'run.json'} cannot be read" in str(error.value)
    assert "remove that file" in str(error.value)
    assert error.value.key == "hydra.run.dir"


def test_a_file_that_cannot_be_read_at_all(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        reader.read_to_continue(tmp_path)


def state(folder: Path) -> str:
    found = reader.read(folder)
    assert found is not None
    return str(found["state"])


@pytest.mark.parametrize("said", ["completed", "stopped", "interrupted", "failed"])
def test_an_ended_run_stays_what_it_was(tmp_path: Path, said: str) -> None:
    assert state(write(tmp_path, state=said, pid=None, heartbeat=ago(10**6))) == said


def test_a_live_process_is_running(tmp_path: Path) -> None:
    assert state(write(tmp_path)) == "running"
    assert state(write(tmp_path, pid=os.getppid())) == "running"


def test_a_dead_process_was_interrupted(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert state(write(tmp_path, pid=process.pid)) == "interrupted"
    assert state(write(tmp_path, pid=None)) == "interrupted"


@pytest.mark.parametrize(("age", "expected"), [(30, "running"), (90, "interrupted")])
def test_a_stale_heartbeat_was_interrupted(tmp_path: Path, age: float, expected: str) -> None:
    # a process with that number lives, but it is another one by now
    assert state(write(tmp_path, pid=os.getppid(), heartbeat=ago(age))) == expected


@pytest.mark.parametrize(("age", "expected"), [(30, "running"), (90, "interrupted")])
def test_of_another_machine_only_the_heartbeat_tells(tmp_path: Path, age: float, expected: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert state(write(tmp_path, pid=process.pid, host="elsewhere", heartbeat=ago(age))) == expected


def test_the_time_zone_of_the_reader_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, pid=os.getppid())
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert state(tmp_path) == "running"
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_of_a_collected_trial_the_service_knows(tmp_path: Path) -> None:
    assert state(write(tmp_path, pid=1, heartbeat=ago(10**6), job={"name": "x"})) == "running"


# --- sweeps


def test_failed_runs_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 0):
        failure = {"message": f"no. {number}\nmore"}
        write(tmp_path / str(number), state="failed", failure=failure, overrides=[f"lr={number}", "seed=1"])
    write(tmp_path / "1", state="completed", overrides=[])
    write(tmp_path / "3", state="failed", failure=None, overrides=[])
    (tmp_path / "4").mkdir()
    failed, total = sweep.failed_runs(tmp_path)
    assert total == 5
    assert [folder.name for folder, _, _ in failed] == ["0", "2", "3", "10"]
    assert failed[1][1:] == ("lr=2 seed=1", "no. 2")


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_record_counts_among_the_failed(tmp_path: Path, text: str) -> None:
    write(tmp_path / "0", state="completed", overrides=[])
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "run.json").write_text(text)
    write(tmp_path / "2", state="failed", failure={"message": "no"})
    failed, total = sweep.failed_runs(tmp_path)
    assert (total, [folder.name for folder, _, _ in failed]) == (3, ["1", "2"])
    assert "run.json is broken" in failed[0][2]
