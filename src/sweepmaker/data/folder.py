"""Any folder of class folders as a source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from sweepmaker.config.errors import DataError
from sweepmaker.data.decode import decode_image, read_file, read_image, show
from sweepmaker.data.fingerprint import content_hash, fingerprint
from sweepmaker.data.inventory import Inventory, take_inventory
from sweepmaker.data.source import ChannelSums, Say
from sweepmaker.data.splits import IntArray
from sweepmaker.data.storage import Store
from sweepmaker.data.tree import natural_key, walk_tree


class FolderSource:
    """``ROOT/{train,valid,test}/CLASS/...`` or ``ROOT/CLASS/...``; classes sorted naturally.

    Args:
        root: the folder.
        max_pixels: an image with more is bad.
        threads: for the one pass that looks at every file.
        say: takes one line for the user.

    Raises:
        ConfigError: (key ``data.root``) there is nothing to train on.
    """

    name = "folder"
    is_decoded = False
    fingerprint: str

    def __init__(self, root: Path, *, max_pixels: int, threads: int, say: Say) -> None:
        self.root = root
        self.max_pixels = max_pixels
        self._threads = threads
        self._say = say
        self._inventory: Inventory | None = None
        tree = walk_tree(root)
        for loop in tree.loops:
            say(f"data: {loop} is a link back to a folder above it; not followed")
        if tree.ignored:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(tree.ignored.items()))
            say(f"data: ignored files that are no images by their extension: {kinds}")
        names = {name for classes in tree.files.values() for name in classes}
        self.class_names = sorted(names, key=natural_key)
        number = {name: label for label, name in enumerate(self.class_names)}
        self.files: list[str] = []
        labels: list[int] = []
        given: dict[str, IntArray] = {}
        for split, classes in tree.files.items():
            first = len(self.files)
            for name, images in classes.items():
                self.files.extend(images)
                labels.extend([number[name]] * len(images))
            if len(self.files) > first:
                given[split] = np.arange(first, len(self.files), dtype=np.int64)
        self.given: Mapping[str, IntArray] = given
        self.labels: IntArray = np.array(labels, dtype=np.int64)

    def check(self) -> dict[int, str]:
        inventory = take_inventory(
            self.root,
            self.files,
            store=Store(self.root, self._say),
            max_pixels=self.max_pixels,
            threads=self._threads,
        )
        self._inventory = inventory
        good = inventory.records.items()
        self.fingerprint = fingerprint((self.item_name(i), record.content) for i, record in good)
        return inventory.bad

    def load(self, item: int) -> Tensor:
        return read_image(f"{self.root}/{self.files[item]}", max_pixels=self.max_pixels)

    def read(self, item: int) -> bytearray:
        """The bytes of one item's file. Raises DataError naming it."""
        return read_file(f"{self.root}/{self.files[item]}")

    def load_unchanged(self, item: int) -> Tensor:
        assert self._inventory is not None, "check() comes first"
        path = self.root / self.files[item]
        data = read_file(path)
        if content_hash(data) != self._inventory.records[item].content:
            raise DataError(f"{show(path)} changed while the run was starting", fix="start again")
        return decode_image(data, name=show(path), max_pixels=self.max_pixels)

    def item_name(self, item: int) -> str:
        return show(self.files[item])

    def channel_sums(self, items: IntArray) -> ChannelSums:
        assert self._inventory is not None, "check() comes first"
        return self._inventory.channel_sums(items.tolist())

    def store(self) -> Path | None:
        return self.root
