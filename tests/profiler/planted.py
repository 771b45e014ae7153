"""A module and data with a bottleneck built in, named by ``_target_`` in the tests' command lines."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sweepmaker.run import interrupt

FEATURES = 8


class Net(LightningModule):
    """One layer.

    Args:
        odd: seconds that every 50th step takes longer.
        lazy_rank: the process that takes ``nap`` seconds longer for each step.
        nap: see there; else what every step takes at least, for a step that has some length.
        leak: bytes that every step keeps.
        validation: seconds that a batch of the validation takes.
        checkpoint: seconds that a checkpoint takes.
        fragile: the sixth step gets a SIGTERM, and breaks over it as it does with a worker process.
    """

    def __init__(
        self,
        odd: float = 0.0,
        nap: float = 0.0,
        lazy_rank: int | None = None,
        leak: int = 0,
        validation: float = 0.0,
        checkpoint: float = 0.0,
        fragile: bool = False,
    ) -> None:
        super().__init__()
        self.odd, self.nap, self.lazy_rank = odd, nap, lazy_rank
        self.leak, self.validation, self.checkpoint = leak, validation, checkpoint
        self.fragile = fragile
        self.kept: list[Tensor] = []
        self.layer = nn.Linear(FEATURES, 2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        if self.fragile and batch_idx == 5:
            os.kill(os.getpid(), signal.SIGTERM)
            while interrupt.requested() is None:
                time.sleep(0.01)
            raise RuntimeError("DataLoader worker is killed by signal: Terminated.")
        if self.odd and batch_idx % 50 == 20:
            time.sleep(self.odd)
        if self.nap and self.lazy_rank in (None, self.global_rank):
            time.sleep(self.nap)
        if self.leak:
            self.kept.append(torch.ones(self.leak // 4))
        return nn.functional.cross_entropy(self.layer(x), y)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        time.sleep(self.checkpoint)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        time.sleep(self.validation)
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self.layer(x), y), sync_dist=True)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Points(Dataset[Any]):
    """Items that take ``nap`` seconds to make: a slow disk, a dear augmentation."""

    def __init__(self, count: int, nap: float) -> None:
        self.count, self.nap = count, nap

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> Any:
        if self.nap:
            time.sleep(self.nap)
        return torch.full((FEATURES,), place / self.count), place % 2


class Data(LightningDataModule):
    """
    Args:
        nap: seconds that an item takes.
        start: seconds that it takes to set up.
    """

    def __init__(
        self,
        count: int = 400,
        batch_size: int = 4,
        num_workers: int = 0,
        nap: float = 0.0,
        start: float = 0.0,
    ) -> None:
        super().__init__()
        self.count, self.batch_size, self.num_workers = count, batch_size, num_workers
        self.nap, self.start = nap, start

    def setup(self, stage: str) -> None:
        time.sleep(self.start)

    def train_dataloader(self) -> DataLoader[Any]:
        many = self.num_workers > 0
        points = Points(self.count, self.nap)
        return DataLoader(points, self.batch_size, num_workers=self.num_workers, persistent_workers=many)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(Points(8, 0.0), 4)
