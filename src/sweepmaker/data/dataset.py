"""One split of a source as a PyTorch dataset: load, transform, label."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Protocol

from torch import Tensor
from torch.utils.data import Dataset

from sweepmaker.config.errors import DataError
from sweepmaker.data.splits import IntArray
from sweepmaker.data.streams import stream

Item = tuple[Tensor, int]
Key = int | tuple[int, int]


class Images(Protocol):
    """What a dataset needs of a source, whole or cached."""

    @property
    def labels(self) -> IntArray: ...

    def load(self, item: int) -> Tensor: ...


class ImageDataset(Dataset[Item]):
    """Items are ``(image uint8 [3, S, S], label)``; the key is ``index`` or ``(epoch, index)``.

    The transform gets a random stream that is a function of ``(seed, epoch, index)`` only. A plain
    index (evaluation, or Lightning's ``overfit_batches``) stands for epoch 0.
    """

    def __init__(
        self,
        source: Images,
        items: IntArray,
        transform: Callable[[Tensor, Random], Tensor],
        *,
        seed: int,
    ) -> None:
        self.source = source
        self.items = items
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, key: Key) -> Item:
        item = self.item(key)
        return self.transformed(self.source.load(item), key), int(self.source.labels[item])

    def __getitems__(self, keys: list[Key]) -> list[Item] | DataError:
        """One batch. An error is returned, not raised: it crosses the worker's border whole.

        A file was fine at the start and is not any more; see ``loader.ImageLoader``.
        """
        try:
            return [self[key] for key in keys]
        except DataError as error:
            return error

    def item(self, key: Key) -> int:
        """The source's number of an image."""
        return int(self.items[key[1] if isinstance(key, tuple) else key])

    def transformed(self, image: Tensor, key: Key) -> Tensor:
        """The loaded image of ``key``, uint8 [3, H, W], as the network is to see it: uint8 [3, S, S]."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.transform(image, stream(self.seed, epoch, index))
