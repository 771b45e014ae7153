"""A run folder belongs to one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sweepmaker.config.errors import ConfigError
from sweepmaker.run import atomic
from sweepmaker.run.folder import RunFolder

OWNER = """
import sys, time
from sweepmaker.run.folder import RunFolder
RunFolder(sys.argv[1]).claim()
print("claimed", flush=True)
time.sleep(60)
"""


def owner(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_it_is_free_when_its_process_has_died(tmp_path: Path, signum: int) -> None:
    with owner(tmp_path / "run") as process:
        other = RunFolder(tmp_path / "run")
        with pytest.raises(ConfigError) as error:
            other.claim()
        assert str(tmp_path / "run") in str(error.value)
        assert other.in_use
        process.send_signal(signum)
        process.wait()
        folder = RunFolder(tmp_path / "run")
        folder.claim()
        folder.release()


def test_released_it_can_be_claimed_again(tmp_path: Path) -> None:
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.claim()
    with pytest.raises(ConfigError):
        second.claim()
    first.release()
    second.claim()
    first.release()  # no longer its own: nothing happens
    with pytest.raises(ConfigError):
        first.claim()
    second.release()


def test_claiming_makes_the_folder_and_nothing_in_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "b")
    folder.claim()
    assert list(folder.path.iterdir()) == []
    folder.release()


def test_paths_do_not_depend_on_where_the_process_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = RunFolder("run")
    monkeypatch.chdir("/")
    assert folder.record == tmp_path / "run" / "run.json"


def hydras(path: Path) -> RunFolder:
    (path / ".hydra").mkdir(parents=True)
    (path / ".hydra" / "config.yaml").write_text("a: 1")
    (path / "train.log").touch()
    return RunFolder(path)


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    folder = hydras(tmp_path / "run")
    folder.claim()
    folder.discard("train.log")
    folder.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["notes.txt", "train.log"])
def test_what_somebody_wrote_stays(tmp_path: Path, name: str) -> None:
    folder = hydras(tmp_path / "run")
    (folder.path / name).write_text("mine")
    folder.discard("train.log")
    assert not (folder.path / ".hydra").exists()
    assert (folder.path / name).read_text() == "mine"


def test_what_a_kill_left_half_written_is_swept_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for made in (".model.abc", "model", "checkpoints", "profiler/reports", "profiler/node-1/reports"):
        (tmp_path / made).mkdir(parents=True)
    left = [".run.json.x1.tmp", ".metrics.csv.x2.tmp", "checkpoints/.next.ckpt.x3.tmp", ".model.abc/weights",
            "profiler/.trace.json.gz.x4.tmp", "profiler/.trace.json.gz.x4.tmp.json.gz",
            "profiler/node-1/.series.json.x5.tmp", "profiler/node-1/reports/.X.json.x6.tmp"]  # fmt: skip
    kept = ["run.json", "metrics.csv", "checkpoints/last.ckpt", "model/model.json", ".mine.tmp",
            "profiler/node-1/series.json"]  # fmt: skip
    for name in left + kept:
        (tmp_path / name).touch()
    folder.sweep()
    assert [name for name in left if (tmp_path / name).exists()] == []
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert not (tmp_path / ".model.abc").exists()


SWAP = """
import os, sys
from pathlib import Path
from sweepmaker.run import atomic
folder, rename = Path(sys.argv[1]), Path.replace
left = int(sys.argv[2])
def dying(source, target):
    global left
    if not left:
        os._exit(9)  # as SIGKILL does: nothing runs after it
    left -= 1
    return rename(source, target)
Path.replace = dying
atomic.replace_folder(folder / ".model.new", folder / "model")
"""


@pytest.mark.parametrize("old", [True, False], ids=["replaced", "new"])
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_never_costs_the_model(tmp_path: Path, renames: int, old: bool) -> None:
    (tmp_path / ".model.new").mkdir()
    (tmp_path / ".model.new" / "weights").write_text("new")
    if old:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "weights").write_text("old")
    needed = 2 if old else 1
    done = subprocess.run(
        [sys.executable, "-c", SWAP, str(tmp_path), str(renames)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == (9 if renames < needed else 0)
    RunFolder(tmp_path).sweep()
    expected = "new" if renames >= needed else "old" if old else None
    assert [path.name for path in tmp_path.iterdir()] == (["model"] if expected else [])
    if expected:
        assert (tmp_path / "model" / "weights").read_text() == expected


def test_a_model_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(OSError):
        atomic.replace_folder(tmp_path / "gone", tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
