"""The DataLoader: quiet workers, one clear error instead of a worker's traceback."""

from __future__ import annotations

import atexit
import signal
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data.dataloader import (
    _BaseDataLoaderIter,
    _MultiProcessingDataLoaderIter,
    default_collate,
)

from sweepmaker.config.errors import DataError
from sweepmaker.data.dataset import Item, Key
from sweepmaker.data.streams import mix

Batch = tuple[Tensor, Tensor]

_with_workers: weakref.WeakSet[ImageLoader] = weakref.WeakSet()


class ImageLoader(DataLoader[Item]):
    """A DataLoader of ``(images uint8 [B, 3, H, W], labels int64 [B])``.

    Raises:
        DataError: while iterating, when a file went bad after the run began.
    """

    _end: weakref.finalize[Any, Any] | None = None

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        batches: _BaseDataLoaderIter = super().__iter__()
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            self._end_with_me(batches)
        return map(self._batch_or_error, batches)  # who iterates keeps the loader, and so its workers

    def _end_with_me(self, batches: _MultiProcessingDataLoaderIter) -> None:
        """Tell the workers to end when nobody has the loader any more.

        The iterator itself would be too late where it is part of a garbage cycle, as after an error: the
        collector closes its queues before it can say anything.
        """
        if self._end is not None:
            self._end.detach()
        self._end = weakref.finalize(self, batches._shutdown_workers)
        self._end.atexit = False
        _with_workers.add(self)

    def end_workers(self) -> None:
        """Tell them now, and wait for it."""
        if self._end is not None:
            self._end()

    def _batch_or_error(self, batch: Any) -> Batch:
        if isinstance(batch, DataError):
            raise batch
        images, labels = batch
        return images, labels


def make_loader(
    dataset: Dataset[Any],
    sampler: Sampler[Any] | Sequence[Key] | None,
    *,
    batch_size: int,
    drop_last: bool,
    workers: int,
    pinned: bool,
    seed: int,
) -> ImageLoader:
    """A loader of one split; without a sampler in the order of the data set.

    Args:
        workers: processes that load images; 0: the calling one does.
        pinned: batches in page-locked memory, from where a GPU copies them while it computes.
        seed: of the workers' own generators.
    """
    return ImageLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        shuffle=False if sampler is None else None,
        drop_last=drop_last,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=pinned,
        collate_fn=collate,
        worker_init_fn=start_worker,
        generator=torch.Generator().manual_seed(mix(seed)),  # else it draws globally
    )


def collate(items: list[Item] | Batch | DataError) -> Batch | DataError:
    """Stack one batch, in a worker straight into shared memory; let a whole one and an error through."""
    if not isinstance(items, list):
        return items
    images: Tensor = default_collate([image for image, _ in items])
    return images, torch.tensor([label for _, label in items], dtype=torch.int64)


def start_worker(_: int) -> None:
    """Runs in each worker: the main process alone decides what SIGINT and SIGTERM mean.

    Both reach the whole process group; a worker that died of one would end the main process with
    an error before it can save what there is to save.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    torch.set_num_threads(1)


@atexit.register
def _end_workers() -> None:
    # At exit multiprocessing sends SIGTERM to what is left and waits for it; our workers ignore
    # that signal, so they are asked to end before.
    for loader in list(_with_workers):
        loader.end_workers()
