"""Small networks on real digits, healthy or with a fault built in, trained in seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from omegaconf import OmegaConf
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from sweepmaker.debugger import settings
from sweepmaker.debugger.callback import Debugger

CONF = Path(__file__).parents[2] / "conf" / "debugger"
Batch = tuple[Tensor, Tensor]


@cache
def digits() -> tuple[Tensor, Tensor]:
    """All 1,797 digits: float32 [N, 1, 8, 8] with mean 0 and standard deviation 1, int64 [N]; shuffled."""
    data = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(1))
    images = torch.tensor(data.images, dtype=torch.float32)[order].unsqueeze(1)
    return (images - images.mean()) / images.std(), torch.tensor(data.target)[order]


def conv_net(activation: Callable[[], nn.Module] = nn.ReLU, *, norm: bool = True) -> nn.Sequential:
    """Three convolutions and a head."""
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 32)):
        layers.append(nn.Conv2d(before, after, 3, stride=1 if before == 1 else 2, padding=1, bias=not norm))
        layers += [nn.BatchNorm2d(after), activation()] if norm else [activation()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128, 10))


def deep_net(activation: Callable[[], nn.Module], depth: int, width: int = 64) -> nn.Sequential:
    """``depth`` dense layers without normalisation."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(64, width), activation()]
    for _ in range(depth - 2):
        layers += [nn.Linear(width, width), activation()]
    return nn.Sequential(*layers, nn.Linear(width, 10))


class Net(LightningModule):
    """A classifier as people write it.

    Args:
        network: takes images, gives logits.
        optimizer: takes parameters.
    """

    def __init__(self, network: nn.Module, optimizer: Callable[[Any], torch.optim.Optimizer]) -> None:
        super().__init__()
        self.network = network
        self._make = optimizer

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self._make(self.trained())

    def trained(self) -> Iterator[nn.Parameter]:
        """What the optimizer is given."""
        return self.parameters()


def adam(lr: float = 1e-3, **options: Any) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.AdamW(parameters, lr=lr, **options)


def sgd(lr: float = 0.05, **options: Any) -> Callable[[Any], torch.optim.Optimizer]:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, **options)


def loaders(images: Tensor, labels: Tensor, train: int = 1400, batch: int = 32) -> list[DataLoader[Any]]:
    first = TensorDataset(images[:train], labels[:train])
    rest = TensorDataset(images[1400:], labels[1400:])
    return [DataLoader(first, batch, shuffle=True, drop_last=train > batch), DataLoader(rest, 256)]


class Slow:
    """A loader that hangs once, in the middle of its epoch."""

    def __init__(self, loader: DataLoader[Any], seconds: float) -> None:
        self._loader, self._seconds = loader, seconds

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._loader):
            if number == 5:
                time.sleep(self._seconds)
            yield batch

    def __len__(self) -> int:
        return len(self._loader)


def train(
    folder: Path, network: nn.Module | None = None, *, epochs: int = 3,
    data: list[Any] | None = None, optimizer: Any = None, module: type[Net] = Net, preset: str = "sane",
    rules: dict[str, Any] | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Train under the debugger; findings.json."""
    seed_everything(3, verbose=False)
    node: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{preset}.yaml"))
    for name, parameters in (rules or {}).items():
        node["rules"][name] = None if parameters is None else {**(node["rules"][name] or {}), **parameters}
    debugger = Debugger(settings.check(node), folder / "debugger")
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        default_root_dir=folder, callbacks=[debugger], **options,
    )  # fmt: skip
    built = module(conv_net() if network is None else network, optimizer or adam())
    trainer.fit(built, *(data or loaders(*digits())))
    document: dict[str, Any] = json.loads((folder / "debugger" / "findings.json").read_text())
    return document


def fired(document: dict[str, Any]) -> dict[str, str]:
    """Rule to where it fired first."""
    return {name: rule["findings"][0]["where"] for name, rule in document["rules"].items() if rule["count"]}
