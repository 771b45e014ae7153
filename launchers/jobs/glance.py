"""What is known of a local data set without reading its images: how much there is, and its fingerprint.

The fingerprint is known when the images were looked at before and no file's name, size or
modification time has changed since. Nothing here imports torch: a dry run and the second launch of
the same data answer at once.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.masking import masked
from sweepmaker.config.errors import ConfigError
from sweepmaker.run.atomic import write_json

_FORMAT = 1


@dataclass(frozen=True)
class Glance:
    """A folder as it lies there.

    ``files`` and ``size`` (bytes) are of what is uploaded where ``fingerprint`` is known; else of
    every file in the folder, a bound.
    """

    files: int
    size: int
    state: str
    """Changes with every name, size and modification time, and with what counts as a good image."""
    fingerprint: str | None


def glance(data: Mapping[str, Any], root: Path) -> Glance:
    """Look at names, sizes and times below ``root``, and at what is remembered of them.

    Raises:
        ConfigError: a folder cannot be read.
    """
    try:
        return _glance(data, root)
    except OSError as error:
        raise ConfigError(
            f"cannot read {masked(error.filename or root)}: {error.strerror or error}", key="data.root"
        ) from error


def _glance(data: Mapping[str, Any], root: Path) -> Glance:
    rules = [str(root.resolve()), *(str(data.get(key)) for key in ("source", "max_pixels", "on_bad_image"))]
    digest = hashlib.sha256(json.dumps([_FORMAT, *rules]).encode())
    files = size = 0
    for name, found in _below(root, root, frozenset()):
        digest.update(os.fsencode(name) + b"\0")
        if found is not None:
            digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
            files += 1
            size += found.st_size
    state = digest.hexdigest()
    kept = _load(root)
    if kept.get("state") == state:
        return Glance(kept["files"], kept["size"], state, kept["fingerprint"])
    return Glance(files, size, state, None)


def remember(root: Path, state: str, fingerprint: str, files: int, size: int) -> None:
    """Keep what was found by reading the images; a cache that cannot be written costs only time."""
    kept = {"state": state, "fingerprint": fingerprint, "files": files, "size": size}
    path = _path(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, kept)
    except OSError:
        return


def _below(root: Path, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[tuple[str, Any]]:
    """Names below ``root`` in a fixed order, and what the file system says; None for a folder."""
    own = folder.stat()
    identity = (own.st_dev, own.st_ino)
    if identity in above:
        return  # a link that leads back up
    with os.scandir(folder) as entries:
        shown = sorted((entry for entry in entries if not entry.name.startswith(".")), key=_name)
    for entry in shown:
        path = folder / entry.name
        try:
            is_folder, found = entry.is_dir(), entry.stat()
        except OSError:
            yield f"{path.relative_to(root)} leads nowhere", None
            continue
        yield str(path.relative_to(root)), None if is_folder else found
        if is_folder:
            yield from _below(root, path, above | {identity})


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _path(root: Path) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache"  # noqa: PTH111
    name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
    return Path(base) / "sweepmaker" / "uploads" / f"{name}.json"


def _load(root: Path) -> dict[str, Any]:
    try:
        kept = json.loads(_path(root).read_bytes())
    except (OSError, ValueError):
        return {}
    whole = isinstance(kept, dict) and isinstance(kept.get("fingerprint"), str)
    counted = whole and all(isinstance(kept.get(key), int) for key in ("files", "size"))
    return kept if counted else {}
