"""A file that several processes want: one of them builds it, the others wait and share it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sweepmaker.data.cache.blob import Blob, Damaged, Writer, open_blob, remember
from sweepmaker.data.source import Say

_LOOK_EVERY_S = 0.2  # while another process builds
_SPARE = 1 << 28  # bytes left free for everybody else
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Content = TypeVar("Content")


class NoRoom(Exception):
    """The cache does not fit; the message has the figures."""


class NoPlace(Exception):
    """No folder can be written to; the message says why for each."""


def obtain(
    name: str,
    folders: Sequence[Path],
    about: Mapping[str, Any],
    fill: Callable[[Writer], None],
    read: Callable[[Blob], Content],
    *,
    size: int,
    say: Say,
) -> Content:
    """What ``read`` makes of the file ``name`` with this ``about``: from one of ``folders``, or built there.

    It is built in the first folder that can be written to.

    Any number of processes may call it at once, and each may be killed at any moment: a lock of the
    operating system, which ends with its process, lets one build, and the finished file is renamed
    into its place.

    Args:
        name: of the file; the same name always means the same content.
        folders: where it may lie, in the order in which they are tried.
        about: JSON; a file that says anything else is another data set's, and is built anew.
        fill: writes the arrays.
        read: raises `Damaged` where a file is whole and says the right things, but holds others: built anew.
        size: bytes that are expected, to see beforehand whether there is room.
        say: takes one line for the user.

    Raises:
        NoRoom: the disk is too small, seen before or while it filled.
        NoPlace: none of the folders can be written to.
        Exception: whatever ``fill`` raises.
    """
    for folder in folders:
        found = _existing(folder / name, about, read, say)
        if found is not None:
            return found
    path = _writable(folders) / name
    with _locked(path, say):
        found = _existing(path, about, read, lambda line: None)  # who held the lock before has built it
        if found is not None:
            return found
        _clear(path)
        _refuse_small_disk(path.parent, size)
        _build(path, about, fill)
    return read(open_blob(path))


def _existing(
    path: Path, about: Mapping[str, Any], read: Callable[[Blob], Content], say: Say
) -> Content | None:
    try:
        blob = open_blob(path)
        if blob.about == dict(about):
            return read(blob)
        say(f"data: the cache {path} is of other data; built anew")
    except FileNotFoundError:
        pass
    except (OSError, Damaged) as error:
        say(f"data: the cache {path} cannot be used: {error}; built anew")
    return None


def _clear(path: Path) -> None:
    """Remove what builders that were killed left in the folder: of ``path``, and what nobody builds now.

    The locks stay: who waits for one would hold it on a file that is not there any more.
    """
    _part(path).unlink(missing_ok=True)
    for part in path.parent.glob(".*.cache.part"):
        with suppress(OSError), part.with_suffix(".lock").open("ab") as file:
            if _try_lock(file):
                part.unlink(missing_ok=True)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _build(path: Path, about: Mapping[str, Any], fill: Callable[[Writer], None]) -> None:
    part = _part(path)  # only who holds the lock touches it
    try:
        with part.open("wb") as file:
            writer = Writer(file)
            fill(writer)
            writer.finish(about)
        part.replace(path)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise NoRoom(f"{path.parent} filled up while the cache was written") from error
        raise
    finally:
        part.unlink(missing_ok=True)
    remember(path)


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("ab") as file:
        if not _try_lock(file):
            say(f"data: another process builds {path}; waiting for it")
            while not _try_lock(file):
                time.sleep(_LOOK_EVERY_S)
        yield


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _writable(folders: Sequence[Path]) -> Path:
    problems = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return folder
            problems.append(f"{folder}: not writable")
        except OSError as error:
            problems.append(f"{folder}: {error.strerror or error}")
    raise NoPlace(f"there is no folder to keep it in ({'; '.join(problems)})")


def _refuse_small_disk(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size + _SPARE > free:
        raise NoRoom(
            f"it takes about {size / 1e9:.2f} GB and leaves {_SPARE / 1e9:.2f} GB to others, "
            f"and {folder} has {free / 1e9:.2f} GB free"
        )
