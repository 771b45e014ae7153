"""A disk that does not take what a run writes: one message with the file and what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sweepmaker.config import argv
from sweepmaker.config.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def naming(path: Path | str, *others: type[Exception], resume: Path | None = None) -> Iterator[None]:
    """Within, ``path`` is written; where that fails it is said as people can mend it.

    Args:
        path: the file or folder.
        others: what libraries raise in place of an OSError.
        resume: the run's folder, where the run can be continued from it.

    Raises:
        UserError: an OSError or one of ``others`` came out.
    """
    kinds: tuple[type[Exception], ...] = (OSError, *others)
    try:
        yield
    except kinds as error:
        raise unwritten(path, error, resume) from error


def unwritten(path: Path | str, error: Exception, resume: Path | None = None) -> UserError:
    """What to tell of ``path``, which ``error`` kept from being written."""
    again = "start it again" if resume is None else f"continue with: {argv.resume_line(resume)}"
    # libraries' own errors carry no number, and a full disk is what they mostly mean
    full = not isinstance(error, OSError) or error.errno in (*_FULL, None)
    cure = "free disk space" if full else "make it writable"
    return UserError(f"could not write {path}: {reason(error)}", fix=f"{cure}, then {again}")


def full(error: BaseException) -> UserError | None:
    """What to tell where ``error`` is a full disk that nobody closer to the file has named."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return unwritten(error.filename or "a file or the output", error)
    return None


def reason(error: Exception) -> str:
    """The first line of what ``error`` says, without the file's name."""
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        return str(error.args[0][0][-1])  # of many files that were copied: the first
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines()
    if lines and "inline_container" in lines[0]:
        return "the disk took only a part of it"  # torch says at which position
    return lines[0] if lines else type(error).__name__
