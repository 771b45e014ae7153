"""A user's own LightningModule and DataModule, as someone who never heard of this project writes them."""

import functools
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy

ADAM = functools.partial(torch.optim.Adam)


class OwnModule(LightningModule):
    def __init__(self, lr: float, width: int = 32, optimizer: Any = ADAM) -> None:
        super().__init__()
        self.save_hyperparameters()  # an object among them, as lightning-hydra-template's modules have
        self.network = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Dropout(0.2),
        )
        self.head = nn.Linear(width, 10)
        self.train_acc = MulticlassAccuracy(10)
        self.val_acc = MulticlassAccuracy(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.network(x))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> torch.Tensor:
        x, y = batch
        x = x + 0.1 * torch.randn_like(x)  # draws from the global generator, as own code does
        out = self(x)
        loss = nn.functional.cross_entropy(out, y)
        self.train_acc(out, y)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int) -> None:
        self.val_acc(self(batch[0]), batch[1])
        self.log("val_acc", self.val_acc, on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.hparams.optimizer(self.parameters(), lr=self.hparams.lr)


class OwnData(LightningDataModule):
    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def setup(self, stage: str) -> None:
        digits = load_digits()
        x = torch.tensor(digits.images, dtype=torch.float32) / 16
        whole = TensorDataset(x, torch.tensor(digits.target))
        fixed = torch.Generator().manual_seed(0)
        self.train_set, self.val_set = random_split(whole, [1500, 297], generator=fixed)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train_set, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.val_set, batch_size=256)
