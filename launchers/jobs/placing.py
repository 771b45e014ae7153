"""A collected trial's folder: filled from a new one, whole or not at all, without touching a user's files.

What was put there is noted in ``.collected.json`` inside it, so that collecting again knows what is
its own, what has not changed in S3, and where an interrupted collection stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sweepmaker.run.atomic import write_json

FILE = ".collected.json"
_FORMAT = 1
_LAST = "run.json"  # a folder that has it is whole

State = tuple[int, int]
"""Size, and time of change in ns: whoever changes a file changes one of them."""


@dataclass(frozen=True)
class Mark:
    """What is noted of a collected trial.

    Attributes:
        trial: its name.
        status: the service's, when it was collected.
        objects: key below the trial's output -> ETag and size in S3.
        files: what was put into the folder, each with the states that are ours.
        whole: False while it is being put there.
    """

    trial: str
    status: str
    objects: Mapping[str, tuple[str, int]]
    files: Mapping[str, frozenset[State]] = field(default_factory=dict)
    whole: bool = True

    def write(self, folder: Path) -> None:
        """Into ``folder``."""
        write_json(
            folder / FILE,
            {
                "format": _FORMAT,
                "trial": self.trial,
                "status": self.status,
                "whole": self.whole,
                "objects": {key: list(value) for key, value in self.objects.items()},
                "files": {name: sorted(map(list, states)) for name, states in sorted(self.files.items())},
            },
        )


def read(folder: Path) -> Mark | None:
    """What is noted in ``folder``; None where nothing of ours is."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        if found["format"] != _FORMAT:
            return None
        return Mark(
            str(found["trial"]),
            str(found["status"]),
            {str(key): (str(tag), int(size)) for key, (tag, size) in found["objects"].items()},
            {
                str(name): frozenset((int(size), int(time)) for size, time in states)
                for name, states in found["files"].items()
            },
            bool(found["whole"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def place(new: Path, folder: Path, mark: Mark) -> list[str]:
    """Put what is in ``new`` into ``folder``.

    Args:
        new: on the same disk; gone or empty of files afterwards.
        folder: the trial's; what lies there and is not ours stays as it is.
        mark: what is to be noted, without ``files``.

    Returns:
        The names of files that are the user's and were left as they are.
    """
    files = {name: frozenset([_state(new / name)]) for name in _names(new)}
    if not folder.exists():
        Mark(mark.trial, mark.status, mark.objects, files).write(new)
        new.rename(folder)
        return []
    old = read(folder)
    known: Mapping[str, frozenset[State]] = old.files if old is not None else {}
    both = {name: known.get(name, frozenset()) | files.get(name, frozenset()) for name in {*known, *files}}
    Mark(mark.trial, mark.status, mark.objects, both, whole=False).write(folder)
    kept = [
        name
        for name in sorted(files, key=lambda one: (one == _LAST, one))
        if not _move(new, folder, name, both)
    ]
    for name in set(known) - set(files):
        if _is_ours(folder / name, known[name]):
            (folder / name).unlink()
    placed = {name: states for name, states in files.items() if name not in kept}
    Mark(mark.trial, mark.status, mark.objects, placed).write(folder)
    return kept


def _move(new: Path, folder: Path, name: str, ours: Mapping[str, frozenset[State]]) -> bool:
    target = folder / name
    if target.is_symlink() or (target.exists() and not _is_ours(target, ours[name])):
        return False
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):  # a file of the user's has the folder's name
        return False
    (new / name).replace(target)
    return True


def _is_ours(path: Path, states: frozenset[State]) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode) and _state(path) in states
    return False


def _state(path: Path) -> State:
    found = path.lstat()
    return found.st_size, found.st_mtime_ns


def _names(folder: Path) -> Iterator[str]:
    for parent, _, files in os.walk(folder):
        for file in files:
            yield Path(parent, file).relative_to(folder).as_posix()
