"""One builds, the others wait; a killed builder, a full disk and a read-only folder cost nothing but time."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweepmaker.data.cache.blob import Blob, Writer
from sweepmaker.data.cache.shared import NoPlace, NoRoom, obtain

ABOUT = {"kind": "test"}
fork = multiprocessing.get_context("fork")


def fill(writer: Writer) -> None:
    writer.section("numbers", np.arange(10))


def get(
    *folders: Path,
    fill: Callable[[Writer], None] = fill,
    about: dict[str, str] = ABOUT,
    size: int = 100,
    said: list[str] | None = None,
) -> Blob:
    say = (lambda line: None) if said is None else said.append
    return obtain("x.cache", folders, about, fill, as_it_is, size=size, say=say)


def as_it_is(blob: Blob) -> Blob:
    return blob


def never(writer: Writer) -> None:
    raise AssertionError("it was there already")


def test_built_once(tmp_path: Path) -> None:
    assert get(tmp_path / "new").array("numbers").tolist() == list(range(10))
    assert get(tmp_path / "new", fill=never).path == tmp_path / "new" / "x.cache"


def test_found_in_any_of_the_folders(tmp_path: Path) -> None:
    get(tmp_path / "b")
    assert get(tmp_path / "a", tmp_path / "b", fill=never).path.parent == tmp_path / "b"
    assert not (tmp_path / "a").exists()


def test_of_other_data_or_damaged_is_built_anew_and_said(tmp_path: Path) -> None:
    get(tmp_path, about={"kind": "other"})
    said: list[str] = []
    assert get(tmp_path, said=said).about == ABOUT
    assert "is of other data; built anew" in said[0]
    (tmp_path / "x.cache").write_bytes((tmp_path / "x.cache").read_bytes()[:-5])
    assert get(tmp_path, said=said).about == ABOUT
    assert "truncated" in said[1] and "built anew" in said[1]


def test_what_is_half_written_is_never_seen(tmp_path: Path) -> None:
    def breaks(writer: Writer) -> None:
        fill(writer)
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        get(tmp_path, fill=breaks)
    assert [path.name for path in tmp_path.iterdir()] == [".x.cache.lock"]


def test_no_room_before(tmp_path: Path) -> None:
    told = r"about 1000000\.00 GB and leaves 0\.27 GB to others, and .* GB free"
    with pytest.raises(NoRoom, match=told):
        get(tmp_path, size=10**15, fill=never)


def test_no_room_in_the_middle(tmp_path: Path) -> None:
    def breaks(writer: Writer) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NoRoom, match="filled up"):
        get(tmp_path, fill=breaks)
    assert not list(tmp_path.glob("*.cache")) and not list(tmp_path.glob("*.part"))


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert get(tmp_path / "a" / "b", tmp_path / "c").path.parent == tmp_path / "c"
    with pytest.raises(NoPlace, match=r"no folder to keep it in \(.*Not a directory\)"):
        get(tmp_path / "a" / "b")


def test_a_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)  # root may write anywhere
    assert get(closed, tmp_path / "open").path.parent == tmp_path / "open"
    shutil.copy(tmp_path / "open" / "x.cache", closed)
    assert get(closed, fill=never).path.parent == closed


def _build_and_hang(folder: Path, begun: Path) -> None:
    def hangs(writer: Writer) -> None:
        writer.append(np.zeros(1000))
        begun.write_text("begun")  # a FIFO: the other end hears of it
        signal.pause()

    get(folder, fill=hangs)


def test_a_killed_builder_is_followed_by_the_one_that_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "begun")
    process = fork.Process(target=_build_and_hang, args=(tmp_path, tmp_path / "begun"))
    process.start()
    assert (tmp_path / "begun").read_text() == "begun"
    waits, said = threading.Event(), []

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    results: list[Blob] = []
    thread = threading.Thread(
        target=lambda: results.append(obtain("x.cache", [tmp_path], ABOUT, fill, as_it_is, size=100, say=say))
    )
    thread.start()
    assert waits.wait(30) and not results
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    thread.join(30)
    assert results[0].array("numbers").tolist() == list(range(10))
    assert "another process builds" in said[0]
    assert not list(tmp_path.glob("*.part"))


def test_what_a_killed_builder_left_takes_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of this file nor of another one that nobody builds any more; what somebody builds stays."""
    left = [tmp_path / f".{name}.cache.part" for name in ("x", "old", "busy")]
    for part in left:
        part.write_bytes(bytes(1000))
    full = shutil.disk_usage(tmp_path)

    def usage(folder: Path) -> object:
        return full._replace(free=0 if left[0].exists() or left[1].exists() else full.free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    with (tmp_path / ".busy.cache.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert get(tmp_path).array("numbers").tolist() == list(range(10))
    assert [part.exists() for part in left] == [False, False, True]


def _build_and_count(folder: Path, built: Path) -> None:
    def counts(writer: Writer) -> None:
        with built.open("a") as file:
            file.write("x")
        fill(writer)

    blob = get(folder, fill=counts)
    sys.exit(0 if blob.array("numbers").tolist() == list(range(10)) else 1)


def test_many_at_once_build_it_once(tmp_path: Path) -> None:
    processes = [
        fork.Process(target=_build_and_count, args=(tmp_path / "c", tmp_path / "built")) for _ in range(8)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert (tmp_path / "built").read_text() == "x"


def test_nothing_is_said_of_a_file_that_is_simply_not_there(tmp_path: Path) -> None:
    said: list[str] = []
    get(tmp_path, said=said)
    assert said == []
