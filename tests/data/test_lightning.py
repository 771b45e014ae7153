"""Lightning's Trainer takes the data module as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from sweepmaker.data import ImageDataModule


class Recorder(LightningModule):
    """A linear model that keeps a sum of every batch it sees, by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3 * 8 * 8, 10)
        self.seen: list[tuple[int, float]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        assert images.dtype == torch.float32
        self.seen.append((self.current_epoch, images.double().sum().item()))
        return torch.nn.functional.cross_entropy(self.layer(images.flatten(1)), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(workers: int = 0, **options: Any) -> Recorder:
    data = ImageDataModule(
        source="digits",
        image_size=8,
        batch_size=8,
        seed=0,
        num_workers=workers,
        limit={"train": 32, "valid": 16},
        augment={"crop_scale": [0.5, 1.0]},
    )
    model = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )
    trainer.fit(model, datamodule=data)
    return model


def test_each_epoch_has_its_own_order_and_augmentation() -> None:
    seen = fit().seen
    assert [epoch for epoch, _ in seen] == [0] * 4 + [1] * 4
    assert len({total for _, total in seen}) == 8
    assert fit(workers=1).seen == seen


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfit_batches_sees_the_same_batch_again() -> None:
    seen = fit(overfit_batches=1).seen
    assert len(seen) == 2 and seen[0][1] == seen[1][1]
