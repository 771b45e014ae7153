"""A module that logs what it is told to, and a trainer for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset


class Told(LightningModule):
    """Logs ``values[epoch]`` as ``valid/x`` (in validation) or ``train/x``; one weight that counts steps."""

    def __init__(self, values: list[float], name: str = "valid/x") -> None:
        super().__init__()
        self.values = values
        self.name = name
        self.also_in_training = False  # logs ``train/epoch`` too
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if self.name.startswith("train"):
            self.log(self.name, self.values[self.current_epoch], on_step=False, on_epoch=True)
        if self.also_in_training:
            self.log("train/epoch", float(self.current_epoch), on_step=False, on_epoch=True)
        return -self.weight

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if self.name.startswith("valid"):
            self.log(self.name, self.values[self.current_epoch])
        self.log("valid/other", 2.0)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test/x", 0.25)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1)


def loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(torch.zeros(2, 1)), batch_size=1)


def fit(module: Told, callbacks: list[Callback], folder: Path, **options: Any) -> Trainer:
    options = {"logger": False, "num_sanity_val_steps": 0, "enable_checkpointing": True, **options}
    trainer = Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        max_epochs=len(module.values), callbacks=callbacks, default_root_dir=folder, **options,
    )  # fmt: skip
    trainer.fit(module, loader(), loader())
    return trainer
