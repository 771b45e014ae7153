"""Tiny fits in this process: interrupted at any moment, continued in a fresh Trainer, compared."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import CatMetric, MaxMetric, MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from sweepmaker.callbacks import BestCheckpoint, Objective, ResumeCheckpoint
from sweepmaker.run import checkpoints, interrupt
from sweepmaker.run.csv_logger import MetricsCSV

BATCHES = 5  # of a training epoch
CLASSES, FEATURES = 3, 4
Moment = tuple[str, int, int]  # hook, epoch, batch


class Net(LightningModule):
    """Dropout, batch norm, noise from the global generator, and every way to add up over an epoch."""

    def __init__(self, schedule: str = "none") -> None:
        super().__init__()
        self.schedule = schedule
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, CLASSES)
        )
        # recall and accuracy share their states; F1 with them too
        parts = {
            "acc": MulticlassAccuracy(CLASSES),
            "recall": MulticlassRecall(CLASSES),
            "f1": MulticlassF1Score(CLASSES),
        }
        self.train_scores = MetricCollection(parts, prefix="train/")
        self.valid_scores = MetricCollection(parts, prefix="valid/").clone()
        self.mean = MeanMetric()
        self.losses = CatMetric()
        self.best = MaxMetric()

    def on_train_start(self) -> None:
        self.valid_scores.reset()  # what sanity checks left behind, as widespread templates do it
        self.best.reset()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        out = self.layers(x + 0.1 * torch.randn_like(x))
        loss = nn.functional.cross_entropy(out, y)
        self.train_scores.update(out, y)
        self.log_dict(self.train_scores, on_step=False, on_epoch=True)
        self.mean.update(loss)
        self.losses.update(loss)
        self.log("train/mean", self.mean, on_step=False, on_epoch=True)
        self.log("train/loss", loss, on_step=True, on_epoch=True)
        self.log("train/sum", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        self.log("train/max", loss, on_step=False, on_epoch=True, reduce_fx="max")
        self.log("train/min", loss, on_step=False, on_epoch=True, reduce_fx=torch.min)
        self.log("train/builtin", loss, on_step=False, on_epoch=True, reduce_fx=sum)
        self.log("train/step", loss)
        return loss

    def on_train_epoch_end(self) -> None:
        self.log("train/spread", self.losses.compute().std())
        self.losses.reset()

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        out = self.layers(batch[0])
        self.valid_scores.update(out, batch[1])
        self.log_dict(self.valid_scores, on_epoch=True)
        self.log("valid/loss", nn.functional.cross_entropy(out, batch[1]))

    def on_validation_epoch_end(self) -> None:
        self.best.update(self.valid_scores.compute()["valid/acc"])
        self.log("valid/acc_best", self.best.compute())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        if self.schedule == "none":
            return optimizer
        if self.schedule == "plateau":
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "valid/loss"}}
        if self.schedule == "plateau_train":
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "train/mean"}}
        if self.schedule == "epochs":
            return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.7)]
        one_cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=0.05, total_steps=int(self.trainer.estimated_stepping_batches)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}


class Data(LightningDataModule):
    """A shuffling loader that draws its order from the global generator; the last batch is smaller."""

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(points(4 * BATCHES - 1), batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        return DataLoader(points(11), batch_size=4)


@functools.cache
def points(count: int) -> TensorDataset:
    random = torch.Generator().manual_seed(count)
    x = torch.randn(count, FEATURES, generator=random)
    return TensorDataset(x, (x @ torch.randn(FEATURES, CLASSES, generator=random)).argmax(1))


class AskAt(Callback):
    """Asks the process to end at one moment of the fit."""

    def __init__(self, moment: Moment | None) -> None:
        self.moment = moment
        self.asked = False

    def _at(self, hook: str, trainer: Trainer, batch: int) -> None:
        if not trainer.sanity_checking and self.moment == (hook, trainer.current_epoch, batch):
            self.asked = True
            interrupt.request()

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self._at("epoch_start", trainer, 0)

    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, index: int) -> None:
        self._at("batch_start", trainer, index)

    def on_train_batch_end(self, trainer: Trainer, module: Any, out: Any, batch: Any, index: int) -> None:
        self._at("batch_end", trainer, index)

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self._at("valid_start", trainer, 0)

    def on_validation_batch_start(
        self, trainer: Trainer, module: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        self._at("valid_batch_start", trainer, index)

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, out: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        self._at("valid_batch_end", trainer, index)

    def on_validation_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("valid_epoch_end", trainer, 0)

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("valid_end", trainer, 0)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("epoch_end", trainer, 0)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("end", trainer, 0)


@dataclass
class Fit:
    """One run: its folder, and how to make its parts anew for each process that works on it."""

    folder: Path
    module: Callable[[], LightningModule] = Net
    data: Callable[[], LightningDataModule] = Data
    callbacks: Callable[[], list[Callback]] = list
    objective: str = "valid/loss"
    epochs: int = 2
    every_n_minutes: float = 0
    trainer: dict[str, Any] = field(default_factory=dict)

    def run(self, moment: Moment | None = None) -> bool:
        """As one process does it: from ``last.ckpt`` if there is one; False when it was interrupted."""
        interrupt._state.requested = None
        seed_everything(7, verbose=False)
        torch.randn(len(list(self.folder.glob("*"))))  # no process begins where another one left off
        module, data = self.module(), self.data()
        seed_everything(7, verbose=False)
        folder = str(self.folder)
        ask = AskAt(moment)
        found = checkpoints.load_latest(self.folder)
        trainer = Trainer(
            accelerator="cpu", max_epochs=self.epochs, enable_progress_bar=False, enable_model_summary=False,
            logger=MetricsCSV(self.folder / "metrics.csv"), log_every_n_steps=1, num_sanity_val_steps=0,
            callbacks=[
                ask, Objective(self.objective, "min"), BestCheckpoint(folder, self.objective, "min"),
                ResumeCheckpoint(folder, self.every_n_minutes), *self.callbacks(),
            ],
            **self.trainer,
        )  # fmt: skip
        start = None if found is None else str(found[0])
        try:
            with interrupt.deferred():
                trainer.fit(module, datamodule=data, ckpt_path=start, weights_only=True)
        except interrupt.Interrupted:
            assert ask.asked
            return False
        finally:
            interrupt._state.requested = None
        return True

    def result(self) -> dict[str, Any]:
        """All that a finished run leaves behind, but the wall time."""
        whole = torch.load(self.folder / "last.ckpt", weights_only=True)
        rows = [line.split(",") for line in (self.folder / "metrics.csv").read_text().splitlines()]
        seconds = rows[0].index("seconds")
        return {
            "weights": whole["state_dict"],
            "optimizer": whole["optimizer_states"],
            "schedules": whole["lr_schedulers"],
            "steps": (whole["epoch"], whole["global_step"]),
            "callbacks": {
                name: {key: part for key, part in state.items() if key != "dirpath"}
                for name, state in whole["callbacks"].items()
            },
            "generators": whole[checkpoints.EXTRA]["rng"],
            "rows": [[cell for place, cell in enumerate(row) if place != seconds] for row in rows],
            "files": sorted(path.name for path in self.folder.glob("best-*")),
        }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Places at which two nested results are not equal, bit for bit."""
    if isinstance(one, Tensor):
        same = isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [where]
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{where}/{key} only once" for key in one.keys() ^ other.keys()]
        return found + [
            d
            for key in one.keys() & other.keys()
            for d in differences(one[key], other[key], f"{where}/{key}")
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            d
            for place, pair in enumerate(zip(one, other, strict=True))
            for d in differences(*pair, f"{where}/{place}")
        ]
    return [] if one == other else [f"{where}: {one!r} != {other!r}"]
