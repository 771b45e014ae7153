"""What a head-only step on cached features costs under train.py, against a plain loop on the same features.

A head trains in a millisecond or two a step, so whatever a framework does around a step shows. It is the
head of the founding case, EfficientNet-B2's 1,408 features and 133 classes. Both take batches of 32 from the
same table, in a new order in each epoch, with AdamW and one-cycle; ours has all that train.py has: metrics,
callbacks, loggers, exact resume. Counted is CPU time from an epoch's first batch to
its last, so neither validation nor checkpoints.

    python benchmarks/lightning_overhead.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

os.environ.update(ONE_THREAD)

import hydra
import torch
from hydra.utils import instantiate
from lightning.pytorch import Callback
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sweepmaker.config.choices import Choices
from sweepmaker.models.optimization import parameter_groups
from sweepmaker.run.folder import RunFolder
from sweepmaker.run.training import Run
from tests.images import class_tree

TARGET = 1.6
EPOCHS = 4  # of which the first one does not count
CLASSES, IMAGES = (
    133,
    13,
)  # of the founding case; images a class to train on, small ones: features are features
SETTINGS = [
    "data=folder", "model.finetune=head", "model.weights=none", "image_size=32", "batch_size=32",
    "data.augment.crop_scale=null", "data.augment.hflip=0", "data.cache=disk", "trainer.threads=1",
    "test=false", f"epochs={EPOCHS}",
]  # fmt: skip


class Steps(Callback):
    """CPU seconds a step of each epoch, from its first batch to its last."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._begun = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._begun = time.process_time()

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index + 1 == trainer.num_training_batches:
            self.seconds.append((time.process_time() - self._begun) / (index + 1))


def config(folder: Path) -> DictConfig:
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        places = [
            f"paths.output_dir={folder}",
            f"data.root={folder.parent}/images",
            f"data.cache_dir={folder.parent}",
        ]
        return hydra.compose("train", [*SETTINGS, *places])


def ours(parent: Path) -> tuple[float, Any]:
    """(CPU seconds a step, the features by split) of one run as train.py does it."""
    folder = Path(tempfile.mkdtemp(dir=parent))
    choices = Choices(quiet=True)
    choices.add("threads", 1, "as all here")
    run = Run(config(folder), RunFolder(folder), choices)
    steps = Steps()
    run.trainer.callbacks.append(steps)
    run.trainer.fit(run.model, datamodule=run.data)
    return sum(steps.seconds[1:]) / (EPOCHS - 1), run.data


def plain(data: Any, cfg: DictConfig) -> float:
    """CPU seconds a step of twenty lines of PyTorch on the same features."""
    table = data.train_dataloader().dataset
    loader = DataLoader(
        TensorDataset(table.features[0], table.labels), cfg.batch_size, shuffle=True, drop_last=True
    )
    head = nn.Linear(table.features.shape[2], data.num_classes)
    optimizer = instantiate(cfg.optimizer)(parameter_groups(head))
    schedule = instantiate(cfg.scheduler)(optimizer, total_steps=EPOCHS * len(loader))
    criterion = nn.CrossEntropyLoss(label_smoothing=cfg.model.label_smoothing)
    seconds = []
    for _ in range(EPOCHS):
        begun, total = time.process_time(), torch.zeros(())
        for features, labels in loader:
            loss = criterion(head(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        seconds.append((time.process_time() - begun) / len(loader))
    return sum(seconds[1:]) / (EPOCHS - 1)


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        classes = [f"{number:03d}" for number in range(CLASSES)]
        class_tree(parent / "images", classes, splits=("train",), images=IMAGES, size=(40, 32))
        class_tree(parent / "images", classes, splits=("valid", "test"), images=1, size=(40, 32))
        _, data = ours(parent)  # computes the features
        cfg = config(parent / "plain")
        work = {"train.py": lambda: ours(parent)[0] * 1e3, "plain loop": lambda: plain(data, cfg) * 1e3}
        figures = interleave(work, repeats=options.repeats)
    report = Report(
        f"head-only steps on cached features, {CLASSES} classes, batch 32, one thread",
        "ms of CPU time a step",
    )
    for each, values in figures.items():
        report.add(each, values)
    value = paired_ratio(figures["train.py"], figures["plain loop"])
    report.ratios.append(Ratio("train.py / plain loop", value, TARGET, at_most=True))
    finish(report, options)


if __name__ == "__main__":
    main()
