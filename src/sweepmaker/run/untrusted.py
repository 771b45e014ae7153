"""Files that somebody else's run may have made of anything: a link, a pipe, a terabyte of nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

LARGEST = 16 * 2**20  # bytes of a text that is read whole; a record, a config or a report is far smaller


def open_inside(folder: Path, name: str) -> BinaryIO:
    """A regular file at or below ``folder``; no link on the way from there is followed.

    Args:
        folder: may itself be a link: whoever named it chose it.
        name: relative, parts divided by ``/``.

    Raises:
        FileNotFoundError: there is none.
        OSError: it, or a folder on the way, is a link or something else; or it cannot be read.
    """
    *above, last = name.split("/")
    parents = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY)]
    try:
        for part in above:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            parents.append(os.open(part, flags, dir_fd=parents[-1]))
        # without O_NONBLOCK a pipe that nobody writes to would hold up the reader
        handle = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parents[-1])
    except OSError:
        parts = name.split("/")
        if any(folder.joinpath(*parts[: n + 1]).is_symlink() for n in range(len(parts))):
            raise OSError(errno.ELOOP, "it is a link, which is not followed", name) from None
        raise
    finally:
        for parent in parents:
            os.close(parent)
    kind = os.fstat(handle).st_mode
    if not stat.S_ISREG(kind):
        os.close(handle)
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        raise OSError(errno.EINVAL, "it is no regular file", name)
    return os.fdopen(handle, "rb")


def read_inside(folder: Path, name: str, most: int = LARGEST) -> bytes:
    """The content of a file as `open_inside` finds it.

    Raises:
        FileNotFoundError, OSError: as `open_inside`; also where it holds more than ``most`` bytes.
    """
    with open_inside(folder, name) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", name)
    return content


def read(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of a regular file; None where there is none, or it is something else.

    A link is not followed, and a pipe that nobody writes to does not hold up the reader.
    """
    try:
        with open_inside(path.parent, path.name) as file:
            return file.read(most)
    except OSError:
        return None


def read_whole(path: Path, most: int) -> str | None:
    """A regular file's text; None where there is none, or something else, or more than ``most`` bytes."""
    content = read(path, most + 1)
    return None if content is None or len(content) > most else content.decode(errors="replace")


def read_object(path: Path, most: int) -> dict[str, Any]:
    """The JSON object in a file as `read_whole` finds it; an empty one where there is none.

    Numbers that no float holds, nan and infinity are None: they could not be formatted, summed or drawn.
    """
    text = read_whole(path, most)
    try:
        content = None if text is None else json.loads(
            text, parse_int=_whole, parse_float=_fraction, parse_constant=lambda _: None)  # fmt: skip
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) < 300 else None  # a float holds 10^308


def _fraction(digits: str) -> float | None:
    return value if math.isfinite(value := float(digits)) else None


def plain(text: object) -> str:
    """``text`` as UTF-8 can have it: half a surrogate pair, which JSON may hold, is shown as ``?``."""
    return str(text).encode(errors="replace").decode()
