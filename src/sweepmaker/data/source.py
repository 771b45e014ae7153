"""What a data set is to the rest of the package: numbered items, their classes, and pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sweepmaker.data.splits import IntArray

SPLITS = ("train", "valid", "test")


class ChannelSums:
    """Exact sums over pixels, as Python integers: nothing is rounded until the very end."""

    def __init__(self) -> None:
        self.pixels = 0
        self.total = [0, 0, 0]
        self.squares = [0, 0, 0]

    def add(self, pixels: int, total: list[int], squares: list[int]) -> None:
        """Add one image's pixel count, and per channel its sum and its sum of squares."""
        self.pixels += pixels
        self.total = [a + b for a, b in zip(self.total, total, strict=True)]
        self.squares = [a + b for a, b in zip(self.squares, squares, strict=True)]


class Source(Protocol):
    """A data set. Items are numbered 0..N-1; usable only after ``check()``."""

    name: str
    is_decoded: bool
    """Pixels lie in memory: ``load`` decodes nothing."""
    class_names: list[str]
    labels: IntArray
    """Class of each item, int64 [N]."""
    given: Mapping[str, IntArray]
    """The splits that it has itself, as item numbers; the others are carved from train."""
    fingerprint: str
    """SHA-256 in hex of the content that is used."""

    def check(self) -> dict[int, str]:
        """Look at every item once; return what is wrong with those that cannot be used."""
        ...

    def load(self, item: int) -> Tensor:
        """Pixels of one item, uint8 [3, H, W], RGB. Raises DataError naming the file."""
        ...

    def load_unchanged(self, item: int) -> Tensor:
        """As ``load``, for what is kept: raises DataError if the content is not what ``check`` saw."""
        ...

    def item_name(self, item: int) -> str:
        """A stable name, for messages and for the key under which statistics are kept."""
        ...

    def channel_sums(self, items: IntArray) -> ChannelSums:
        """Exact per-channel sums over the pixels of ``items``."""
        ...

    def store(self) -> Path | None:
        """The folder beside the data where results may be kept; None where there is none."""
        ...


class ArraySource:
    """A data set that lies in memory as one grayscale array; always whole, so nothing to check.

    Args:
        images: uint8 [N, H, W].
        labels: int64 [N].
    """

    is_decoded = True

    def __init__(
        self,
        name: str,
        class_names: list[str],
        images: npt.NDArray[np.uint8],
        labels: IntArray,
        given: Mapping[str, IntArray],
    ) -> None:
        self.name = name
        self.class_names = class_names
        self.labels = labels
        self.given = given
        self._images = torch.from_numpy(np.ascontiguousarray(images))
        self.fingerprint = _fingerprint(images, labels)

    def check(self) -> dict[int, str]:
        return {}

    def load(self, item: int) -> Tensor:
        return self._images[item].expand(3, -1, -1)

    def load_unchanged(self, item: int) -> Tensor:
        return self.load(item)

    def item_name(self, item: int) -> str:
        return str(item)

    def channel_sums(self, items: IntArray) -> ChannelSums:
        values = self._images[torch.from_numpy(items)]
        histogram = torch.bincount(values.flatten(), minlength=256).tolist()
        total = sum(level * count for level, count in enumerate(histogram))
        squares = sum(level * level * count for level, count in enumerate(histogram))
        sums = ChannelSums()
        sums.add(values.numel(), [total] * 3, [squares] * 3)
        return sums

    def store(self) -> Path | None:
        return None


def _fingerprint(images: npt.NDArray[np.uint8], labels: IntArray) -> str:
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(np.ascontiguousarray(images).data)
    digest.update(np.ascontiguousarray(labels).data)
    return digest.hexdigest()


Say = Callable[[str], None]
"""Takes one line for the user; the data module sends it to stderr, once per job."""
