"""The smallest modules and data with everything that a resumed run could get wrong."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torchmetrics import CatMetric, MaxMetric, MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from sweepmaker.data.sampler import EpochSampler
from sweepmaker.models import Classifier, classifier

BATCHES = 5  # of a training epoch
_CLASSES, _FEATURES = 3, 4
Batch = tuple[Tensor, Tensor]


class Net(LightningModule):
    """Dropout, batch norm, noise from the global generator, two metrics.

    Args:
        schedule: none | epochs | one_cycle | plateau (of validation) | plateau_train.
    """

    def __init__(self, schedule: str = "none") -> None:
        super().__init__()
        self.schedule = schedule
        self.layers = nn.Sequential(
            nn.Linear(_FEATURES, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, _CLASSES)
        )
        self.mean = MeanMetric()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        x, y = batch
        out = self.layers(x + 0.1 * torch.randn_like(x))
        loss = nn.functional.cross_entropy(out, y)
        self.mean.update(loss)
        self.log("train/mean", self.mean, on_step=False, on_epoch=True)
        self.log("train/loss", loss, on_step=False, on_epoch=True)
        self.more(out, y, loss)
        return loss

    def more(self, out: Tensor, labels: Tensor, loss: Tensor) -> None:
        """What `Everything` adds."""

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("valid/loss", nn.functional.cross_entropy(self.layers(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), lr=0.05)
        if self.schedule == "none":
            return optimizer
        if self.schedule == "epochs":
            return [optimizer], [StepLR(optimizer, 1, gamma=0.7)]
        if self.schedule == "one_cycle":
            steps = int(self.trainer.estimated_stepping_batches)  # makes the loader, before fit starts
            plan = OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plan, "interval": "step"}}
        metric = "train/mean" if self.schedule == "plateau_train" else "valid/loss"
        plateau = ReduceLROnPlateau(optimizer, patience=0, factor=0.5, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": plateau, "monitor": metric}}


class Everything(Net):
    """Every way to add up over an epoch: collections, lists, self.log's reductions, a best so far."""

    def __init__(self, schedule: str = "none") -> None:
        super().__init__(schedule)
        parts: dict[str, Any] = {  # recall and accuracy come to share their states
            "acc": MulticlassAccuracy(_CLASSES),
            "recall": MulticlassRecall(_CLASSES),
            "f1": MulticlassF1Score(_CLASSES, average="micro"),
        }
        self.train_scores = MetricCollection(parts, prefix="train/")
        self.valid_scores = self.train_scores.clone(prefix="valid/")
        self.losses = CatMetric()
        self.best = MaxMetric()

    def on_train_start(self) -> None:
        self.valid_scores.reset()  # what sanity checks left behind, as widespread templates do it
        self.best.reset()

    def more(self, out: Tensor, labels: Tensor, loss: Tensor) -> None:
        self.train_scores.update(out, labels)
        self.log_dict(self.train_scores, on_step=False, on_epoch=True)
        self.losses.update(loss)
        self.log("train/both", loss, on_step=True, on_epoch=True)
        self.log("train/step", loss)
        self.log("train/sum", loss, on_step=False, on_epoch=True, reduce_fx="sum")
        self.log("train/max", loss, on_step=False, on_epoch=True, reduce_fx="max")
        self.log("train/min", loss, on_step=False, on_epoch=True, reduce_fx=torch.min)
        self.log("train/builtin", loss, on_step=False, on_epoch=True, reduce_fx=sum)

    def on_train_epoch_end(self) -> None:
        self.log("train/spread", self.losses.compute().std())
        self.losses.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.valid_scores.update(self.layers(batch[0]), batch[1])
        self.log_dict(self.valid_scores, on_epoch=True)

    def on_validation_epoch_end(self) -> None:
        self.best.update(self.valid_scores.compute()["valid/acc"])
        self.log("valid/acc_best", self.best.compute())


class Manual(Net):
    """Optimizes by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        optimizer: Any = self.optimizers()
        loss = super().training_step(batch, batch_idx)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        return loss


class Shuffled(LightningDataModule):
    """Draws its order from the global generator; the last batch is smaller."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(points(4 * BATCHES - 1), batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(points(7), batch_size=4)


class Unsized(Shuffled):
    """Nobody knows how many batches there are."""

    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            whole = points(4 * BATCHES - 1)
            return (whole[index] for index in torch.randperm(len(whole)).tolist())

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.Stream(), batch_size=4)


class Positioned(Shuffled):
    """Finds its place by itself, as our own data module does, and counts what it loads."""

    loaded = 0

    class Pairs(Dataset[Any]):
        def __len__(self) -> int:
            return 4 * BATCHES - 1

        def __getitem__(self, place: Any) -> Any:
            Positioned.loaded += 1
            return points(len(self))[place[1]]

    def __init__(self) -> None:
        super().__init__()
        self.position: tuple[int, int] | None = None

    def train_dataloader(self) -> DataLoader[Any]:
        data = self.Pairs()
        sampler = EpochSampler(data, seed=3)
        if self.position is not None:
            sampler.start_at(self.position[0], 4 * self.position[1])
        return DataLoader(data, batch_size=4, sampler=sampler, generator=torch.Generator().manual_seed(0))


@functools.cache
def points(count: int) -> TensorDataset:
    """``count`` points of three classes, the same each time."""
    random = torch.Generator().manual_seed(count)
    x = torch.randn(count, _FEATURES, generator=random)
    return TensorDataset(x, (x @ torch.randn(_FEATURES, _CLASSES, generator=random)).argmax(1))


class Tiny(nn.Module):
    """What a classifier of torchvision's looks like, with a few weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*(self._block(i, o) for i, o in ((3, 4), (4, 4), (4, 6))))
        self.head = nn.Linear(6, _CLASSES)

    def _block(self, inputs: int, outputs: int) -> nn.Module:
        layers = (nn.Conv2d(inputs, outputs, 3), nn.BatchNorm2d(outputs), nn.Dropout(0.2))
        return nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images).mean((2, 3)))  # type: ignore[no-any-return]


class Small(Classifier):
    """The project's own module over a tiny network."""

    def __init__(self, finetune: str, **settings: Any) -> None:
        with mock.patch.object(
            classifier, "initialised_network", lambda *_, **__: (Tiny(), {"source": "none", "head": "new"})
        ):
            super().__init__(
                name="tiny", num_classes=_CLASSES, finetune=finetune, blocks=1, label_smoothing=0.1,
                optimizer=functools.partial(torch.optim.AdamW, lr=0.05),  # type: ignore[arg-type]
                scheduler=functools.partial(OneCycleLR, max_lr=0.05), **settings,
            )  # fmt: skip


class Pictures(Shuffled):
    """Images in the place of points."""

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(pictures(4 * BATCHES - 2), batch_size=4, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(pictures(7), batch_size=4)


@functools.cache
def pictures(count: int) -> TensorDataset:
    """``count`` images of three classes, the same each time."""
    random = torch.Generator().manual_seed(count)
    images = torch.randn(count, 3, 8, 8, generator=random)
    return TensorDataset(images, torch.randint(0, _CLASSES, (count,), generator=random))
