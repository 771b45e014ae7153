"""Files that a job may have made of anything: a link, a pipe, a terabyte of nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read(path: Path, most: int) -> bytes | None:
    """The first ``most`` bytes of a regular file; None where there is none, or it is something else.

    A link is not followed, and a pipe that nobody writes to does not hold up the server.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read(most)
    finally:
        os.close(handle)


def read_whole(path: Path, most: int) -> str | None:
    """A regular file's text; None where there is none, or something else, or more than ``most`` bytes."""
    content = read(path, most + 1)
    return None if content is None or len(content) > most else content.decode(errors="replace")
