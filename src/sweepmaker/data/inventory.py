"""One look at every file: is it an image, what is its content, what are its channels' sums?

One parallel streaming pass reads each file once for the three answers. They are kept by
(size, modification time), so that the next start only asks the file system whether a file changed,
and a run never meets a broken file in the middle of an epoch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from sweepmaker.config.errors import DataError
from sweepmaker.data.decode import decode_image, read_file, show
from sweepmaker.data.fingerprint import content_hash
from sweepmaker.data.source import ChannelSums
from sweepmaker.data.storage import Store
from sweepmaker.data.waves import in_waves
from sweepmaker.run.progress import track

NAME = "inventory.json"
_FORMAT = 1
_EXACT = 256  # squares of bytes that float32 adds exactly: 256 * 255 * 255 < 2**24
_BLOCK = 1 << 20  # pixels looked at together, so that a huge image needs no huge copies


@dataclass(frozen=True)
class Record:
    """What is known about one good file."""

    size: int
    """Bytes."""
    mtime_ns: int
    content: str
    """SHA-256 in hex."""
    pixels: int
    total: list[int]
    """Per channel, the sum over the pixels (0..255)."""
    squares: list[int]


@dataclass(frozen=True)
class Inventory:
    """The files of a data set, by their number: good ones and what is wrong with the others."""

    records: dict[int, Record]
    bad: dict[int, str]

    def channel_sums(self, items: Sequence[int]) -> ChannelSums:
        """Exact sums over the pixels of the good files ``items``."""
        sums = ChannelSums()
        for item in items:
            record = self.records[item]
            sums.add(record.pixels, record.total, record.squares)
        return sums


def take_inventory(
    root: Path, files: Sequence[str], *, store: Store, max_pixels: int, threads: int
) -> Inventory:
    """Look at ``files`` (relative to ``root``); those that are known and unchanged only by name.

    Bad files are never remembered: they are looked at again, since they are what people mend.
    """
    known = _load(store)
    names = [show(file) for file in files]
    records: dict[int, Record] = {}
    for number, file in enumerate(files):
        record = known.get(names[number])
        if record and record.pixels <= max_pixels and _stat(root / file) == _state(record):
            records[number] = record
    fresh = [number for number in range(len(files)) if number not in records]
    bad: dict[int, str] = {}
    if fresh:
        try:
            for number, found in _look(root, files, fresh, max_pixels, threads):
                if isinstance(found, Record):
                    records[number] = found
                else:
                    bad[number] = found
        finally:  # an interrupted pass goes on where it was
            if len(bad) < len(fresh):
                _save(store, {names[number]: record for number, record in records.items()})
    return Inventory(dict(sorted(records.items())), dict(sorted(bad.items())))


def channel_sums(image: Tensor) -> tuple[list[int], list[int]]:
    """Per channel the exact sum and sum of squares of a uint8 [3, H, W] image."""
    rows = image.permute(1, 2, 0)
    step = max(1, _BLOCK // max(1, image.shape[2]))
    total, squares = torch.zeros(2, 3, dtype=torch.float64)
    for block in torch.split(rows, step):
        values = block.reshape(-1, 3).float()
        values = torch.nn.functional.pad(values, (0, 0, 0, -len(values) % _EXACT))
        groups = values.view(-1, _EXACT, 3)
        total += groups.sum(1).sum(0, dtype=torch.float64)
        squares += groups.square_().sum(1).sum(0, dtype=torch.float64)
    # float64 holds integers up to 2**53, float32 up to 2**24: nothing was rounded
    return [int(x) for x in total.tolist()], [int(x) for x in squares.tolist()]


def _look(
    root: Path, files: Sequence[str], fresh: Sequence[int], max_pixels: int, threads: int
) -> Iterator[tuple[int, Record | str]]:
    def look(number: int) -> tuple[int, Record | str]:
        return number, _inspect(root / files[number], max_pixels)

    found = in_waves(look, fresh, threads, name="inventory")
    yield from track(found, "checking images", len(fresh))


def _inspect(path: Path, max_pixels: int) -> Record | str:
    try:
        state = _stat(path)
        data = read_file(path)
        image = decode_image(data, name=show(path), max_pixels=max_pixels)
    except DataError as error:
        return error.message
    if state is None:
        return f"cannot read {show(path)}: it went away"
    total, squares = channel_sums(image)
    pixels = image.shape[1] * image.shape[2]
    return Record(*state, content_hash(data), pixels, total, squares)


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  # called once a file at every start
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _state(record: Record) -> tuple[int, int]:
    return record.size, record.mtime_ns


def _load(store: Store) -> dict[str, Record]:
    kept = store.load(NAME)
    if not isinstance(kept, dict) or kept.get("format") != _FORMAT:
        return {}
    try:
        return {name: Record(*fields) for name, fields in kept["files"].items()}
    except (KeyError, TypeError, AttributeError):
        return {}  # not what we wrote: look again


def _save(store: Store, records: dict[str, Record]) -> None:
    files = {name: list(asdict(r).values()) for name, r in records.items()}
    store.save(NAME, {"format": _FORMAT, "files": files})
