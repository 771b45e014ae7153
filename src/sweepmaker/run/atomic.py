"""Files and folders that are either whole or absent: write beside, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_UMASK = os.umask(0)  # can only be read by setting it, so once, before there are threads
os.umask(_UMASK)


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s place, else it goes.

    Raises:
        OSError: the folder is missing, read-only or full, or ``path`` is a device or a pipe; it is then as
            it was before.
    """
    path = Path(path)
    check_replaceable(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.truncate(temporary, 0)  # frees the disk even while whoever failed keeps the file open
        raise
    finally:
        temporary.unlink(missing_ok=True)


def check_replaceable(path: Path) -> None:
    """A file in the place of ``/dev/null`` would be one for every program of the machine.

    Raises:
        OSError: ``path`` is a device, a pipe or a socket, or a link to one, or lies where devices do.
    """
    special = path.absolute().parent == Path("/dev")
    with contextlib.suppress(OSError):  # there is none yet, or who writes will hear why not
        mode = path.stat().st_mode
        special = special or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if special:
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file to replace", str(path))


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write ``content`` to ``path`` so that no reader ever sees half of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path | str, content: str) -> None:
    """Write UTF-8 text to ``path`` so that no reader ever sees half of it."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any) -> None:
    """Write ``content`` as indented JSON; nan and inf become null, since JSON has neither."""
    write_text(
        path, json.dumps(finite(content), indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"
    )


def replace_folder(new: Path, folder: Path) -> None:
    """Put the folder ``new`` into the place of ``folder``, which may be there already.

    No system can do that in one step everywhere, so the old one steps aside: a kill at the worst
    moment leaves it there, for `restore_folder`.

    Raises:
        OSError: ``folder`` is then as it was before.
    """
    aside = _aside(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    try:
        if folder.exists():
            folder.replace(aside)
        new.replace(folder)
    finally:
        restore_folder(folder)


def restore_folder(folder: Path) -> None:
    """Bring back what `replace_folder` left aside, or remove it where the new one is in place."""
    aside = _aside(folder)
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    elif aside.exists():
        aside.replace(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.before")


def finite(value: Any) -> Any:
    """``value`` as JSON can have it: nan and inf are None, keys are texts, tuples are lists."""
    if isinstance(value, dict):
        return {str(key): finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
