"""The candidates of train_throughput that are not `train.py` itself.

A plain PyTorch loop with our settings, torchvision's recipe, the same with a frozen backbone, and whole
runs of ours with model.finetune=head.

python -m benchmarks.train_peers plain|torchvision|frozen|head ROOT EPOCHS SIZE BATCH [override ...]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.utils import instantiate
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from benchmarks.gate import Gate
from sweepmaker.data.transforms import normalise
from sweepmaker.models.networks import build_network
from sweepmaker.models.optimization import parameter_groups

CONF = Path(__file__).resolve().parent.parent / "conf"


def plain(checkpoint: Path, epochs: int, overrides: list[str]) -> None:
    """Our data, network, optimizer, schedule and memory format in twenty lines of PyTorch."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("train", overrides)
    data = instantiate(cfg.data)
    data.setup("fit")
    network = build_network(
        {"library": "torchvision", "name": cfg.model.name, "dropout": None}
        | {"num_classes": data.num_classes}
    ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = instantiate(cfg.optimizer)(parameter_groups(network))
    loader = data.train_dataloader()
    schedule = instantiate(cfg.scheduler)(optimizer, total_steps=epochs * len(loader))
    criterion = nn.CrossEntropyLoss(label_smoothing=cfg.model.label_smoothing)
    network.train()
    gate = Gate()
    for epoch in range(epochs):
        gate.wait()
        seen, total = 0, torch.zeros(())
        loader.sampler.set_epoch(epoch)
        for images, labels in loader:
            images = normalise(images, data.stats_.mean, data.stats_.std)
            images = images.contiguous(memory_format=torch.channels_last)
            loss = criterion(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
            seen += len(labels)
        save(checkpoint, network, optimizer, schedule)
        gate.done(seen)


def head(root: Path, turns: int, overrides: list[str]) -> None:
    """Whole runs of ours, one a turn, each in a folder of its own that knows nothing of the ones before.

    A turn is everything from reading the config to the last epoch: images decoded, features computed and
    kept, head trained and validated, checkpoints written.
    """
    from sweepmaker.config.choices import Choices
    from sweepmaker.run.folder import RunFolder
    from sweepmaker.run.training import Run

    gate = Gate()
    for turn in range(turns):
        gate.wait()
        folder = root.parent / f"head-{turn}"
        places = [f"paths.output_dir={folder}", f"data.cache_dir={folder}/cache"]
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = hydra.compose("train", [*overrides, *places])
        folder.mkdir()
        choices = Choices(quiet=True)
        choices.add("threads", 1, "as all here")
        run = Run(cfg, RunFolder(folder), choices)
        run.trainer.fit(run.model, datamodule=run.data)
        gate.done(int(cfg.epochs) * run.data.counts["train"])  # type: ignore[attr-defined]


def reference(root: Path, checkpoint: Path, epochs: int, size: int, batch: int, *, frozen: bool) -> None:
    """The reference recipe of torchvision by default: Pillow, v1 transforms, NCHW, fp32, SGD.

    ``frozen``: only the classifier trains, as torchvision's tutorial on transfer learning does it.
    """
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    dataset = ImageFolder(str(root / "train"), transform)
    loader = DataLoader(dataset, batch_size=batch, shuffle=True, drop_last=True)
    network = models.efficientnet_b2(num_classes=len(dataset.classes))
    if frozen:
        network.requires_grad_(False)
        network.classifier.requires_grad_(True)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=30, gamma=0.1)
    criterion = nn.CrossEntropyLoss()
    network.train()
    gate = Gate()
    for _ in range(epochs):
        gate.wait()
        seen, right, total = 0, 0, 0.0
        for images, labels in loader:
            logits = network(images)
            loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            right += int((logits.argmax(1) == labels).sum())
            seen += len(labels)
        schedule.step()
        save(checkpoint, network, optimizer, schedule)
        gate.done(seen)


def save(path: Path, *parts: Any) -> None:
    """What every such script saves once an epoch, as `train.py` does: all that it goes on from."""
    torch.save([part.state_dict() for part in parts], path)


def main() -> None:
    torch.set_num_threads(1)
    kind, folder, epochs, size, batch, *overrides = sys.argv[1:]
    root = Path(folder)
    checkpoint = root.parent / f"{kind}.pt"
    if kind == "plain":
        plain(checkpoint, int(epochs), overrides)
    elif kind == "head":
        head(root, int(epochs), overrides)
    else:
        reference(root, checkpoint, int(epochs), int(size), int(batch), frozen=kind == "frozen")


if __name__ == "__main__":
    main()
