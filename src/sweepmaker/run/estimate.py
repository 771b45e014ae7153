"""What an epoch would take with each way to freeze and to cache, measured on a few batches of this run.

The measuring is done on a copy of the network, with random states put back, so a run is the same to the
last bit with and without it.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn import functional

from sweepmaker.data import ImageDataModule
from sweepmaker.data.cache.pixels import training_side
from sweepmaker.data.transforms import resize_short_side
from sweepmaker.models import Classifier
from sweepmaker.models.freezing import Freezing, blocks_of

_WARM_UP = 1  # batches that do not count
_MEASURED = 3
_WORTH_IT_S = 60.0  # seconds; a run that is over sooner needs no advice
_LOADED = 8  # images
_TURNS = 3  # of which the quickest counts: another process costs milliseconds, an image less
_OVERHEAD = 1.6  # of a step on cached features, against a plain loop: benchmarks/lightning_overhead.py


@dataclass(frozen=True)
class Option:
    """One way to train: what it is called, seconds an epoch, and what comes with it."""

    name: str
    seconds: float
    remark: str = ""


class EstimateEpochs(Callback):
    """After a few batches of a run's first epoch, says what an epoch would take in other ways.

    Args:
        wanted: True: always; False: never; None: where the run takes longer than a minute, and is alone.
        say: takes a line for the user.
    """

    def __init__(self, wanted: bool | None, say: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._say = say
        self._since: float | None = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.current_epoch or batch_idx > _WARM_UP + _MEASURED - 1 or self._wanted is False:
            # Lightning asks each callback at every hook of a step, which a step on cached features feels
            trainer.callbacks = [one for one in trainer.callbacks if one is not self]  # type: ignore[attr-defined]
            return
        if batch_idx == _WARM_UP - 1:
            self._since = _now(pl_module)
        elif batch_idx == _WARM_UP + _MEASURED - 1 and self._since is not None:
            step = (_now(pl_module) - self._since) / _MEASURED
            self._estimate(trainer, pl_module, batch, step)

    def _estimate(self, trainer: Trainer, module: LightningModule, batch: Any, step: float) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if not isinstance(module, Classifier) or not isinstance(datamodule, ImageDataModule):
            return
        steps = int(trainer.num_training_batches)
        epochs = max(trainer.max_epochs or 1, 1)
        if self._wanted is None and (is_one_of_many() or step * steps * epochs < _WORTH_IT_S):
            return
        if trainer.is_global_zero:
            self._say(f"an epoch of {steps} steps, estimated from a few batches on this machine:")
            devices = [module.device] if module.device.type == "cuda" else []
            try:
                with torch.random.fork_rng(devices=devices):
                    lines = table(options(module, datamodule, batch, step, steps))
            except torch.OutOfMemoryError:  # a second network beside this one: the run goes on without it
                lines = ["  not measured: the GPU has no room for a second network beside this one"]
            for line in lines:
                self._say(line)


def is_one_of_many() -> bool:
    """Whether this run is one of a sweep or a job, whose user looks at other things."""
    many = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
    return many or "TRAINING_JOB_NAME" in os.environ


def options(module: Classifier, data: ImageDataModule, batch: Any, step: float, steps: int) -> list[Option]:
    """The ways to train, this run's first.

    Args:
        module: on its device.
        data: of the run.
        batch: images float [B, 3, S, S] (or features [B, D]) and labels int64 [B], on the device.
        step: seconds that a step of this run takes, data included.
        steps: of an epoch.
    """
    first, labels = batch
    alone = module.finetune == "gradual"  # which a run that is measured in its first epoch begins with
    told = "gradual, the head alone" if alone else module.finetune
    found = [Option(f"as it is (finetune={told})", step * steps)]
    if first.ndim != 4:  # features: the other ways are told apart by images, which this run no longer has
        return found
    ways = ("full", "blocks", "head") if _has_blocks(module) else ("full", "head")
    seconds = {name: _step(module, first, labels, name) for name in ways}
    own = seconds.get("head" if alone else module.finetune, seconds["full"])
    rest = max(0.0, step - own)  # data, metrics, callbacks
    for name, each in seconds.items():
        if name != module.finetune:
            more = f" model.blocks={module.blocks}" if name == "blocks" else ""
            found.append(Option(f"model.finetune={name}{more}", (each + rest) * steps))
    found.append(_features(module, data, first, labels, seconds["head"], steps))
    return found + _decoding(data, step, steps, batch_size=len(labels))


def _has_blocks(module: Classifier) -> bool:
    return 0 < module.blocks < len(blocks_of(module.network, module.head_names))


def table(found: list[Option]) -> list[str]:
    """A line each, aligned."""
    width = max(len(option.name) for option in found)
    times = ["under 0.1" if option.seconds < 0.1 else f"{option.seconds:.1f}" for option in found]
    rows = zip(found, times, strict=True)
    return [f"  {option.name:{width}}  {seconds:>9} s  {option.remark}".rstrip() for option, seconds in rows]


def _step(module: Classifier, images: Tensor, labels: Tensor, finetune: str) -> float:
    """Seconds of forward and backward with ``finetune``."""
    network = copy.deepcopy(module.network)
    freezing = Freezing(network, module.head_names, finetune, blocks=module.blocks, head_epochs=1)
    freezing.apply(0)
    network.train()
    freezing.set_modes(0)
    images = images.contiguous(memory_format=torch.channels_last) if module.channels_last else images

    def once() -> None:
        with module.trainer.precision_plugin.forward_context():
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]

    return _best_of_two(module, once)


def _features(
    module: Classifier, data: ImageDataModule, images: Tensor, labels: Tensor, head: float, steps: int
) -> Option:
    """An epoch of the head on cached features, and what computing them costs once."""
    width = _width(module)
    given = torch.randn(len(labels), width, device=images.device)
    layer = nn.Linear(width, data.num_classes, device=images.device)

    def once() -> None:
        functional.cross_entropy(layer(given), labels).backward()  # type: ignore[no-untyped-call]

    needs, views = ("data.views=8", 8) if data.augments else ("data.cache=auto", 1)
    count = data.counts["train"] * views + data.counts["valid"] + data.counts["test"]
    computing = head * count / len(labels)
    remark = f"after about {computing:.0f} s once; with {needs}"
    return Option(
        "model.finetune=head on cached features", _best_of_two(module, once) * _OVERHEAD * steps, remark
    )


def _width(module: Classifier) -> int:
    layer = module.heads()[0]
    return layer.in_features if isinstance(layer, nn.Linear) else int(layer.in_channels)  # type: ignore[arg-type]


def _decoding(data: ImageDataModule, step: float, steps: int, *, batch_size: int) -> list[Option]:
    """This run with images out of a cache, where it decodes them now."""
    source = data.source
    if source.is_decoded or data.pixels is not None or data.on_device is not None:
        return []
    side = training_side(data.image_size, data.resize, crops=data.augment.crop_scale is not None)
    dataset = data.dataset("train")
    images = [source.load(int(item)) for item in dataset.items[:_LOADED]]
    resized = [resize_short_side(image, side) for image in images]
    turns = [
        (
            _seconds(lambda: [dataset[number] for number in range(len(images))]),
            _seconds(lambda: [dataset.transform(image, Random(0)) for image in resized]),
        )
        for _ in range(_TURNS)
    ]
    now, cached = (min(seconds) / len(images) for seconds in zip(*turns, strict=True))
    saved = (now - cached) * batch_size / max(1, data.workers())
    overlapped = data.workers() > 0  # then it is saved only as far as the model waits for it
    remark = f"{now * 1e3:.1f} ms an image to decode, {cached * 1e3:.1f} ms from the cache"
    seconds = step if overlapped else max(0.0, step - saved)
    return [Option("data.cache=disk", seconds * steps, remark)]


def _best_of_two(module: Classifier, work: Callable[[], None]) -> float:
    return min(_seconds(work, lambda: _now(module)) for _ in range(2))


def _seconds(work: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    since = clock()
    work()
    return clock() - since


def _now(module: LightningModule) -> float:
    """The time at which the device has done what it was given."""
    if module.device.type == "cuda":
        torch.cuda.synchronize(module.device)
    return time.perf_counter()
