"""A frozen backbone computes the same features of the same images in every epoch: compute them once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import Sampler

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError
from sweepmaker.data import ImageDataModule
from sweepmaker.data.cache.choose import folders
from sweepmaker.data.cache.features import obtain_features
from sweepmaker.data.cache.shared import NoPlace, NoRoom
from sweepmaker.data.loader import make_loader
from sweepmaker.data.splits import IntArray
from sweepmaker.data.transforms import normalise
from sweepmaker.data.waves import in_waves
from sweepmaker.models import Classifier
from sweepmaker.models.features import Backbone, NotSeparable
from sweepmaker.run import auto
from sweepmaker.run.environment import available_cores
from sweepmaker.run.progress import track

KEY = "features"
_BATCH = 32
_WAVE = 4  # batches a thread: they are large


def use_features(
    model: LightningModule, data: LightningDataModule, trainer: Trainer, choices: Choices
) -> None:
    """Train on cached features instead of images where that gives the same; said with its reason.

    ``model.reduced`` is chosen here, too: it holds for images as for features.

    Raises:
        ConfigError: with ``data.cache=disk``, there is no room for them.
        DataError: an image that cannot be read any more.
    """
    if not isinstance(model, Classifier) or not isinstance(data, ImageDataModule) or not model.head_only:
        return
    problem = _separable(model, data)
    if problem is None:
        model.reduced, reason = auto.reduced_features(trainer)
        choices.add("backbone", "bf16" if model.reduced else trainer.precision, reason)
        problem = _problem(model, data, trainer)
    if problem is None:
        try:
            path = _obtain(model, data, trainer)
            choices.add(KEY, "cached", f"a frozen backbone makes the same of {_what(data)}; {path}")
            return
        except (NoRoom, NoPlace) as error:
            if data.cache == "disk":
                raise ConfigError(
                    str(error),
                    key="data.cache",
                    fix="data.cache=none, or data.cache_dir=FOLDER with room for it",
                ) from error
            problem = str(error)
    choices.add(KEY, "computed", f"in every epoch: {problem}")


def _separable(model: Classifier, data: ImageDataModule) -> str | None:
    """Why the network cannot be cut before its head, tried on two black images; None: it can."""
    training = model.training
    model.eval()
    try:
        model.features(torch.zeros(2, 3, data.image_size, data.image_size), training=False)
        return None
    except NotSeparable as error:
        return str(error)
    finally:
        model.train(training)


def _problem(model: Classifier, data: ImageDataModule, trainer: Trainer) -> str | None:
    if data.cache == "none":
        return "data.cache=none"
    if trainer.precision.endswith("-true") and trainer.precision != "32-true":
        return f"trainer.precision={trainer.precision}"
    if model.mixing:
        return "mixup and cutmix blend images anew in each epoch"
    if data.augments and not data.views:
        return "training images differ by augmentation; data.views=8 would cache 8 views of each"
    return None


def _what(data: ImageDataModule) -> str:
    return f"{data.views} augmented views of each image" if data.augments else "the same images"


def _obtain(model: Classifier, data: ImageDataModule, trainer: Trainer) -> str:
    device = trainer.strategy.root_device
    backbone = Backbone(model.network, model.head_names[0])
    training = model.training
    model.eval()
    images = {split: count for split, count in data.counts.items() if count}
    views = {split: data.views if split == "train" and data.augments else 1 for split in images}
    shapes = {split: (views[split], count, backbone.width) for split, count in images.items()}

    def compute(split: str) -> Iterator[Tensor]:
        model.network.to(device)

        def of_batch(batch: Tensor) -> Tensor:
            pixels = normalise(batch.to(device, non_blocking=True), data.stats_.mean, data.stats_.std)
            with trainer.precision_plugin.forward_context():
                return model.features(pixels, training=split == "train").float()

        batches = _batches(data, split, views[split])
        total = -(-views[split] * images[split] // _BATCH)
        # other trials wait for this file meanwhile, so all cores are for it
        threads = available_cores() if device.type == "cpu" else 1
        features = in_waves(of_batch, batches, threads, name="features", wave=_WAVE)
        yield from track(features, f"computing features of {split}, batches of {_BATCH} images", total)

    about = {
        "fingerprint": data.fingerprint,
        "items": {split: _hash(data.dataset(split).items) for split in images},
        **_about_pixels(data),
        **_about_network(model, backbone, trainer),
    }
    try:
        tables, path = obtain_features(
            about, shapes, compute, folders(data.cache_dir, data.source), say=data.say
        )
    finally:
        model.train(training)
    data.use_features(tables)
    return str(path)


def _about_pixels(data: ImageDataModule) -> dict[str, Any]:
    crops = data.augment.crop_scale is not None
    return {
        "transform": data.transform_spec(),
        "augment": [data.seed, asdict(data.augment)] if data.augments else None,
        # a crop that is cut from a copy in the cache has other pixels than one cut from the original
        "pixels": data.training_side if crops and data.pixels is not None else None,
    }


def _about_network(model: Classifier, backbone: Backbone, trainer: Trainer) -> dict[str, Any]:
    return {
        "network": backbone.fingerprint(),
        # which says what is done with the weights: timm's tf_ networks pad otherwise than those without
        "architecture": {
            name: value for name, value in model.architecture().items() if name != "num_classes"
        },
        "precision": [trainer.precision, model.reduced],
        "device": [
            trainer.strategy.root_device.type,
            "channels_last" if model.channels_last else "contiguous",
        ],
    }


class _ViewByView(Sampler[tuple[int, int]]):
    """Keys of all images, once for each view; a list of them would take 100 bytes each."""

    def __init__(self, views: int, images: int) -> None:
        self._views, self._images = views, images

    def __len__(self) -> int:
        return self._views * self._images

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return product(range(self._views), range(self._images))


def _batches(data: ImageDataModule, split: str, views: int) -> Iterator[Tensor]:
    """Images uint8 [B, 3, S, S] of a split, view by view; B does not follow the run's batch size."""
    dataset = data.dataset(split, augmented=split == "train" and data.augments)
    loader = make_loader(
        dataset,
        _ViewByView(views, len(dataset)),
        batch_size=_BATCH,
        drop_last=False,
        workers=data.workers(),
        pinned=data.pinned,
        seed=data.seed,
    )
    for images, _ in loader:
        yield images


def _hash(items: IntArray) -> str:
    return hashlib.sha256(items.tobytes()).hexdigest()
