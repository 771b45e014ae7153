"""Where results about a data set are kept: beside it, or in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from sweepmaker.data.source import Say
from sweepmaker.run.atomic import write_text

FOLDER = ".sweepmaker"
SHARED = "SWEEPMAKER_CACHE"


class Store:
    """Small JSON files about one data set.

    Args:
        root: the data set's folder; None if it has none.
        say: told once, in one line, when nothing could be kept.
    """

    def __init__(self, root: Path | None, say: Say) -> None:
        self._say = say
        self._complained = False
        self.folders = folders(root)

    def load(self, name: str) -> Any | None:
        """The content kept under ``name``; None where there is none that can be read."""
        for folder in self.folders:
            try:
                return json.loads((folder / name).read_bytes())
            except (OSError, ValueError):
                continue  # absent, or not ours: it is then computed again
        return None

    def save(self, name: str, content: Any) -> None:
        """Keep ``content``; a read-only or full disk costs only time at the next start."""
        text = json.dumps(content, ensure_ascii=False) + "\n"
        problems = []
        for folder in self.folders:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_text(folder / name, text)
                return
            except OSError as error:
                problems.append(f"{folder}: {error.strerror or error}")
        if not self._complained:
            self._complained = True
            self._say(f"data: {name} could not be kept ({'; '.join(problems)}); next time anew")


def folders(root: Path | None) -> list[Path]:
    """Where results about the data in ``root`` are looked for and kept, in this order."""
    together = shared()
    if root is None:
        return [together or user_cache()]
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return [together / name] if together else [root / FOLDER, user_cache() / name]


def shared() -> Path | None:
    """``$SWEEPMAKER_CACHE``: whoever starts several runs lets them share what they keep by that."""
    together = os.environ.get(SHARED)
    return Path(together) if together else None


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/sweepmaker``, by default ``~/.cache/sweepmaker``."""
    base = os.environ.get("XDG_CACHE_HOME")
    if not base:
        base = str(Path(os.path.expanduser("~")) / ".cache")  # noqa: PTH111  # no home: no error
    return Path(base) / "sweepmaker"
