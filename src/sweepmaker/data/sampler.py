"""The order of training: a function of (seed, epoch), resumable in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import torch
from torch.utils.data import DistributedSampler

from sweepmaker.data.streams import mix


class EpochSampler(DistributedSampler):  # type: ignore[type-arg]  # items go in, pairs come out
    """Yields ``(epoch, index)`` pairs, so that a dataset can augment by epoch in any worker.

    A DistributedSampler, so that Lightning calls ``set_epoch`` and leaves it in place.

    Args:
        dataset: what is sampled; only its length is used.
        seed: same on every rank.
        num_replicas: number of processes that train together.
        rank: this process among them.
    """

    def __init__(self, dataset: Sized, *, seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # only len() is used
            num_replicas=num_replicas,
            rank=rank,
            seed=seed,
        )
        self._start = 0

    def start_at(self, epoch: int, item: int) -> None:
        """Begin the next iteration at ``item`` (counted on this rank) of ``epoch``."""
        self.epoch = epoch
        self._start = item

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; another one than before starts at its beginning."""
        if epoch != self.epoch:
            self._start = 0
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        # Not a generator: epoch and start are those of this moment, whenever it is consumed.
        epoch = self.epoch
        order = self._order(epoch)[self._start :]
        return iter([(epoch, index) for index in order])

    def _order(self, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(mix(self.seed, epoch))
        length = len(self.dataset)  # type: ignore[arg-type]
        order: list[int] = torch.randperm(length, generator=generator).tolist()
        while len(order) < self.total_size:  # every rank needs the same number of items
            order += order[: self.total_size - len(order)]
        return order[self.rank : self.total_size : self.num_replicas]
