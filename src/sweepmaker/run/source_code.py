"""The code that belongs to a model's weights: this package, and the user's own where there is any."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_OURS = Path(__file__).resolve().parents[1]
_MOST_FILES = 200  # of a user's package: more is not a package of one model's code
_MOST_BYTES = 5_000_000


def copy(folder: Path, kind: type) -> None:
    """Copy to ``folder`` what is needed to import ``kind`` elsewhere, installed packages left out.

    Args:
        folder: is made; ``sweepmaker/`` goes into it, and the ``.py`` files of the package that holds
            ``kind``, or its file alone where that is in none (or in one that is too large, with a
            warning).
        kind: the model's class.

    Raises:
        OSError: the disk is full.
    """
    shutil.copytree(_OURS, folder / "sweepmaker", ignore=shutil.ignore_patterns("__pycache__"))
    found = _source(kind)
    if found is None or _OURS in found.resolve().parents:
        return
    package = _package(kind, found)
    files = [] if package is None or _is_installed(package) else _within_limits(package)
    for file in files:
        assert package is not None
        target = folder / file.relative_to(package.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    if not files:
        shutil.copy(found, folder)


def _source(kind: type) -> Path | None:
    try:
        source = inspect.getsourcefile(kind)
    except (TypeError, OSError):  # compiled, or typed into a shell
        return None
    return None if source is None or not Path(source).is_file() else Path(source)


def _package(kind: type, source: Path) -> Path | None:
    """The folder of the outermost package that ``kind`` is imported from; None for a lone file."""
    module = sys.modules.get(kind.__module__)
    depth = kind.__module__.count(".") + (source.name == "__init__.py")
    if module is None or not depth:
        return None
    return source.parents[depth - 1]


def _is_installed(package: Path) -> bool:
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")}
    return bool(places & set(package.resolve().parents))


def _within_limits(package: Path) -> list[Path]:
    """The package's ``.py`` files; none, with a warning, where they are too many or too large."""
    files: list[Path] = []
    size = 0
    for file in _python_files(package):
        files.append(file)
        size += file.stat().st_size
        if len(files) > _MOST_FILES or size > _MOST_BYTES:
            log.warning(
                "model/code holds only the file of the model's class: the package %s has more than "
                "%d .py files or %g MB of them", package, _MOST_FILES, _MOST_BYTES / 1e6,
            )  # fmt: skip
            return []
    return files


def _python_files(package: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(package):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        for name in sorted(names):
            file = Path(place) / name
            if name.endswith(".py") and not name.startswith(".") and file.is_file():
                yield file
