"""Which files of a local data set go to S3, each with its hash; imports torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweepmaker.config.errors import DataError
from sweepmaker.data import options
from sweepmaker.data.decode import MAX_PIXELS, read_file, show
from sweepmaker.data.fingerprint import content_hash, fingerprint
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.inventory import take_inventory
from sweepmaker.data.opening import open_source
from sweepmaker.data.storage import Store
from sweepmaker.run.environment import available_cores

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # S3 lists keys as XML, which has no way to write most of them
_LONGEST_NAME = 700  # bytes of UTF-8; a key has 1,024, prefix and fingerprint included
_NAMED = 10


@dataclass(frozen=True)
class File:
    """One file to upload."""

    name: str
    """Relative to the root, as the key ends."""
    path: Path
    size: int
    sha256: str


def read(data: Mapping[str, Any], root: Path, say: Callable[[str], None]) -> tuple[str, list[File]]:
    """The content fingerprint of the data below ``root`` and the files that it is made of.

    Raises:
        ConfigError, DataError: as `launchers.jobs.dataset.look`.
    """
    max_pixels = options.integer(data.get("max_pixels", MAX_PIXELS), "data.max_pixels", lowest=1)
    on_bad = options.choice(data.get("on_bad_image", "stop"), "data.on_bad_image", options.ON_BAD_IMAGE)
    name = options.choice(data.get("source"), "data.source", options.SOURCES)
    source, bad = open_source(name, root, max_pixels=max_pixels, on_bad_image=on_bad, say=say)
    if not isinstance(source, FolderSource):
        return source.fingerprint, _idx_files(root)
    inventory = take_inventory(
        root, source.files, store=Store(root, say), max_pixels=max_pixels, threads=available_cores()
    )
    if inventory.bad.keys() != bad.keys():
        raise DataError(f"{show(root)} changed while it was being looked at", fix="run it again")
    _refuse_what_would_be_lost(source, list(inventory.records))
    files = [
        File(source.item_name(item), root / source.files[item], record.size, record.content)
        for item, record in inventory.records.items()
    ]
    _refuse_names([file.name for file in files])
    return fingerprint((file.name, file.sha256) for file in files), files


def _idx_files(root: Path) -> list[File]:
    """The four files of Fashion-MNIST, which `open_source` found to be whole."""
    for folder in (root, root / "FashionMNIST" / "raw", root / "raw"):
        paths = sorted(path for path in folder.glob("*-ubyte*") if path.suffix in ("", ".gz"))
        if paths:
            break
    files = []
    for path in paths:
        content = read_file(path)
        files.append(File(path.name, path, len(content), content_hash(content)))
    return files


def _refuse_what_would_be_lost(source: FolderSource, good: Sequence[int]) -> None:
    """S3 has no empty folders, and a split or class without images would change what is trained."""
    present = set(source.labels[np.array(good, dtype=np.int64)].tolist())
    empty = [name for label, name in enumerate(source.class_names) if label not in present]
    if empty:
        raise DataError(
            f"no good image in the class folder(s) {', '.join(map(repr, empty[:_NAMED]))}",
            fix="put images there or remove the folder(s): there are no empty folders in S3",
        )
    for split, items in source.given.items():
        if not set(items.tolist()) & set(good):
            raise DataError(f"every image of {split}/ is bad", fix="mend the images or remove the folder")


def _refuse_names(names: Sequence[str]) -> None:
    odd = [name for name in names if _CONTROL.search(name)]
    if odd:
        raise DataError(
            f"{len(odd)} file name(s) with control characters: {', '.join(map(repr, odd[:_NAMED]))}",
            fix="rename them: S3 cannot list such keys",
        )
    long = [name for name in names if len(name.encode()) > _LONGEST_NAME]
    if long:
        raise DataError(
            f"{len(long)} path(s) longer than {_LONGEST_NAME} bytes, such as {long[0]}",
            fix="shorten them: a key in S3 has at most 1,024 bytes",
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"two files have the same name once it is written as text: {twice}", fix="rename one")
