"""Decoded images, their short side resized, in one mapped file that all epochs, runs and trials share.

The resize is the one that evaluation begins with (``transforms.resize_short_side``), so evaluation sees
the same pixels bit for bit. A random crop is cut from an image a little larger than the network's input
instead of from the original: other pixels of the same view.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor

from sweepmaker.data.cache.blob import Blob, Damaged, Writer
from sweepmaker.data.cache.shared import obtain
from sweepmaker.data.source import Say, Source
from sweepmaker.data.splits import IntArray
from sweepmaker.data.transforms import resize_short_side
from sweepmaker.data.waves import in_waves
from sweepmaker.run.progress import track

_FORMAT = 2
_SIDES = 1 << 20  # px; more than any short side
_LONGEST = 1 << 28  # px; more than any long side
_ITEMS = 1 << 40  # more than any data set has
Pack = Callable[[Writer], None]
_ROOM_TO_CROP = 1.125  # short side of images that are cropped at random, in edges of the network's input
_USUAL_ASPECT = 1.4  # of photographs, to estimate the size of the file beforehand


@dataclass(frozen=True)
class Plan:
    """Which items are kept, each with the short side at which it is kept, px."""

    fingerprint: str
    """Of the source."""
    entries: IntArray
    """int64 [N, 2]: item and short side, ascending."""

    @property
    def about(self) -> dict[str, str | int]:
        """What the file says of itself; equal only for equal content."""
        entries = hashlib.sha256(np.ascontiguousarray(self.entries).data).hexdigest()
        return {
            "kind": "pixels", "format": _FORMAT, "fingerprint": self.fingerprint, "entries": entries,
            "decoder": torchvision.__version__,  # brings its JPEG library, and another may round otherwise
        }  # fmt: skip

    @property
    def name(self) -> str:
        """Of the file."""
        key = hashlib.sha256(repr(sorted(self.about.items())).encode()).hexdigest()[:16]
        return f"pixels-{key}.cache"

    @property
    def bytes_(self) -> int:
        """About so many, if the images are of a usual shape."""
        sides = self.entries[:, 1].astype(np.float64)
        return int((sides * sides).sum() * 3 * _USUAL_ASPECT)


def training_side(image_size: int, resize: int, *, crops: bool) -> int:
    """The short side at which training images are kept, px.

    Args:
        image_size: edge of the network's input.
        resize: short side of evaluation images.
        crops: whether training cuts random crops; else it begins as evaluation does.
    """
    with_room = math.ceil(_ROOM_TO_CROP * image_size)
    return resize if not crops or resize >= math.floor(with_room * 0.975) else with_room


def plan(source: Source, parts: Mapping[str, IntArray], *, evaluation: int, training: int) -> Plan:
    """What to keep of the items in ``parts``: each at the short sides at which it may be wanted.

    An item whose split is drawn by the seed is kept for both uses, so that runs with different seeds
    share a file as long as no ``limit`` picks other items.
    """
    fixed = {split: source.given[split] for split in ("valid", "test") if split in source.given}
    items = np.unique(np.concatenate([part for part in parts.values()]))
    evaluated_only = np.isin(items, np.concatenate([np.empty(0, np.int64), *fixed.values()]))
    wanted = {(item, evaluation) for item in items[evaluated_only].tolist()}
    sides = {training} if len(fixed) == 2 else {training, evaluation}
    wanted |= {(item, side) for item in items[~evaluated_only].tolist() for side in sides}
    return Plan(source.fingerprint, np.array(sorted(wanted), dtype=np.int64).reshape(-1, 2))


class Pixels:
    """The file, opened. Images come out of it as copies.

    Raises:
        Damaged: the file has no index, or it points beyond the images.
    """

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        entries, self._place = blob.array("entries"), blob.array("place")
        count = self._place.size // 3
        wanted = [(entries, (count, 2)), (self._place, (count, 3))]
        if any(array.dtype != np.int64 or array.shape != shape for array, shape in wanted):
            raise Damaged("its index has another shape")
        if count:
            _refuse_impossible(entries, self._place, len(blob.bytes_))
        self._keys = _keys(entries[:, 0], entries[:, 1])

    @property
    def path(self) -> Path:
        """The file."""
        return self._blob.path

    def sides(self) -> set[int]:
        """The short sides at which images are kept, px."""
        return set(np.unique(self._keys % _SIDES).tolist())

    def missing(self, wanted: Plan) -> IntArray:
        """Items of ``wanted`` that are not kept at the short side at which it wants them."""
        items, sides = wanted.entries.T
        lacking: IntArray = items[~np.isin(_keys(items, sides), self._keys)]
        return lacking

    def _number(self, item: int, side: int) -> int | None:
        key = _keys(item, side)
        number = int(np.searchsorted(self._keys, key))
        return number if number < len(self._keys) and self._keys[number] == key else None

    def load(self, item: int, side: int) -> Tensor | None:
        """uint8 [3, H, W], short side ``side`` px, in the memory order of a decoded image; None: not kept."""
        if (number := self._number(item, side)) is None:
            return None
        offset, height, width = self._place[number].tolist()
        flat = self._blob.bytes_[offset : offset + height * width * 3]
        return torch.from_numpy(flat.reshape(height, width, 3).copy()).permute(2, 0, 1)


def _refuse_impossible(entries: IntArray, place: IntArray, size: int) -> None:
    """Each bound keeps the next sum within 64 bits."""
    (_, lowest), (last, highest) = entries.min(axis=0).tolist(), entries.max(axis=0).tolist()
    if entries.min() < 0 or last >= _ITEMS or not 0 < lowest <= highest < _SIDES:
        raise Damaged("its index has impossible items or sides")
    keys = _keys(entries[:, 0], entries[:, 1])
    if not (keys[1:] > keys[:-1]).all():
        raise Damaged("its index is not in order")
    offsets, edges = place[:, 0], place[:, 1:]
    if (edges.min(axis=1) != entries[:, 1]).any() or edges.max() > _LONGEST:
        raise Damaged("its index has images of other sides")
    if offsets.min() < 0 or offsets.max() > size or (offsets + edges[:, 0] * edges[:, 1] * 3).max() > size:
        raise Damaged("its index points beyond the images")


def obtain_pixels(
    source: Source, wanted: Plan, folders: Sequence[Path], *, pack: Pack, threads: int, say: Say
) -> Pixels:
    """The cache of ``wanted``: found whole in one of ``folders``, or built there.

    Args:
        source: checked.
        wanted: what is kept.
        folders: where it may lie.
        pack: appends what the source says of itself.
        threads: that decode.
        say: takes one line for the user.

    Raises:
        NoRoom, NoPlace: see `shared.obtain`.
        DataError: an image changed since ``source.check()``, or cannot be read any more.
    """

    def fill(writer: Writer) -> None:
        _fill(writer, source, wanted.entries, threads)
        pack(writer)

    def read(blob: Blob) -> Pixels:
        pixels = Pixels(blob)
        if len(lacking := pixels.missing(wanted)):
            raise Damaged(f"it lacks {len(lacking)} of {len(wanted.entries)} images")
        return pixels

    return obtain(wanted.name, folders, wanted.about, fill, read, size=wanted.bytes_, say=say)


def _fill(writer: Writer, source: Source, entries: IntArray, threads: int) -> None:
    def decode(number: int) -> Tensor:
        item, side = entries[number].tolist()
        image = resize_short_side(source.load_unchanged(item), side)
        return image.permute(1, 2, 0).contiguous()

    place = np.empty((len(entries), 3), dtype=np.int64)
    images = in_waves(decode, range(len(entries)), threads, name="cache")
    for number, image in enumerate(track(images, "caching images", len(entries))):
        place[number] = writer.append(image.numpy()), image.shape[0], image.shape[1]
    writer.section("entries", entries)
    writer.section("place", place)


@dataclass
class CachedSource:
    """A source whose pixels come out of the cache where it has them, short side ``side``."""

    source: Source
    pixels: Pixels
    side: int

    @property
    def labels(self) -> IntArray:
        return self.source.labels

    def load(self, item: int) -> Tensor:
        kept = self.pixels.load(item, self.side)
        return resize_short_side(self.source.load(item), self.side) if kept is None else kept


def _keys(items: Any, sides: Any) -> Any:
    """One number for an (item, side), in the order of the entries."""
    return items * _SIDES + sides
