"""Transforms on uint8 tensors, and normalisation of whole batches.

Resizing is bicubic with antialias: the same pixels as Pillow's, at about twice the speed.
Training, test and serving share ``evaluation_transform`` and ``normalise``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from sweepmaker.data.streams import lent_generator

_ASPECT = (3 / 4, 4 / 3)  # of a random crop, as in "Going deeper with convolutions" (2014)
_CROP_TRIES = 10
_LONGEST = 20  # an image longer than this many times its short side is cut before resizing


def evaluation_transform(spec: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """The transform that ``spec`` describes: resize the short side, then crop the centre.

    Args:
        spec: ``ImageDataModule.transform_spec()``, or the same from a ``model.json``.

    Returns:
        A function from uint8 [3, H, W] to uint8 [3, image_size, image_size].
    """
    return EvaluationTransform(resize=int(spec["resize"]), size=int(spec["image_size"]))


def normalise(batch: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(x / 255 - mean) / std`` per channel, on the batch's device.

    Args:
        batch: uint8 [B, 3, H, W] (or [3, H, W]); its memory format is kept.
        mean: three numbers, of pixels in [0, 1].
        std: three numbers, likewise.

    Returns:
        float32 of the same shape.
    """
    shape = (3, 1, 1)
    scale = torch.tensor([1 / (255 * s) for s in std], dtype=torch.float32).view(shape)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(shape)
    scale, shift = (t.to(batch.device, non_blocking=True) for t in (scale, shift))
    return batch.to(torch.float32).mul_(scale).add_(shift)


@dataclass(frozen=True)
class EvaluationTransform:
    """Resize the short side to ``resize`` px, then cut ``size`` x ``size`` px from the centre."""

    resize: int
    size: int

    def __call__(self, image: Tensor, random: Random | None = None) -> Tensor:
        image = resize_short_side(image, self.resize)
        cut: Tensor = F.center_crop_image(image, [self.size, self.size])
        return cut


@dataclass(frozen=True)
class TrainingTransform:
    """Random crop and resize, flip, TrivialAugment; every draw comes from the given stream.

    Args:
        size: edge of the result, px.
        crop_scale: lowest and highest share of the image's area that a crop covers; None resizes
            as ``evaluation`` does.
        hflip: probability of a horizontal flip.
        trivial_augment: apply TrivialAugmentWide (Mueller and Hutter, ICCV 2021).
        evaluation: used where there is no random crop.
    """

    size: int
    crop_scale: tuple[float, float] | None
    hflip: float
    trivial_augment: bool
    evaluation: EvaluationTransform

    def __call__(self, image: Tensor, random: Random) -> Tensor:
        if self.crop_scale is None:
            image = self.evaluation(image)
        else:
            top, left, height, width = crop_box(image.shape[-2:], self.crop_scale, random)
            image = F.resized_crop_image(
                image,
                top,
                left,
                height,
                width,
                [self.size, self.size],
                interpolation=InterpolationMode.BICUBIC,
                antialias=True,
            )
        if self.hflip and random.random() < self.hflip:
            image = image.flip(-1)
        return _trivial_augment(image, random) if self.trivial_augment else image


def crop_box(size: Sequence[int], scale: tuple[float, float], random: Random) -> tuple[int, int, int, int]:
    """``(top, left, height, width)`` of a random crop of an image of ``size`` (height, width).

    torchvision's RandomResizedCrop algorithm; its own takes its numbers from the global generator.
    """
    height, width = size
    for _ in range(_CROP_TRIES):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * random.random())
        low, high = (math.log(edge) for edge in _ASPECT)
        aspect = math.exp(low + (high - low) * random.random())
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            top = int(random.random() * (height - h + 1))
            return top, int(random.random() * (width - w + 1)), h, w
    # no crop fits (a very long image): the centre, as near to the wanted aspect as possible
    w = max(1, min(width, round(height * _ASPECT[1])))
    h = max(1, min(height, round(width / _ASPECT[0])))
    return (height - h) // 2, (width - w) // 2, h, w


def _without_far_ends(image: Tensor) -> Tensor:
    """Cut what lies so far from the centre that the crop cannot see it.

    A 20,000 x 1 image with its short side resized to 260 px would take 4 GB.
    """
    height, width = image.shape[-2:]
    longest = _LONGEST * min(height, width)
    if max(height, width) <= longest:
        return image
    cut: Tensor = F.center_crop_image(image, [min(height, longest), min(width, longest)])
    return cut


def resize_short_side(image: Tensor, size: int) -> Tensor:
    """Bicubic with antialias as Pillow does it: width first, rounded to whole values, then height.

    torchvision's uint8 kernel has weights of 16 bits and is off by 2 of 255 here and there; this is
    as fast and never off by more than 1.

    Args:
        image: uint8 [3, H, W].
        size: of the short side afterwards, px; an image that has it is left as it is.
    """
    image = _without_far_ends(image)
    height, width = image.shape[-2:]
    short = min(height, width)
    target = (int(size * height / short), int(size * width / short))
    if target == (height, width):
        return image
    pixels = image.unsqueeze(0).to(torch.float32)
    for step in ((height, target[1]), target):
        if pixels.shape[-2:] != step:
            pixels = functional.interpolate(pixels, step, mode="bicubic", antialias=True)
            pixels = pixels.round_().clamp_(0, 255)
    return pixels.to(torch.uint8)[0]


def _trivial_augment(image: Tensor, random: Random) -> Tensor:
    """TrivialAugment draws from the global CPU generator, which is lent to it."""
    with lent_generator(random.getrandbits(63)):
        augmented: Tensor = _TRIVIAL_AUGMENT(image)
    return augmented


_TRIVIAL_AUGMENT = v2.TrivialAugmentWide()
