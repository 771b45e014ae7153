"""MixUp and CutMix of a batch, torchvision's, with draws that depend on where in the run the batch stands."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.transforms import v2

from sweepmaker.data.streams import lent_generator, stream


class Mixing:
    """Blends each image of a batch with its neighbour, and the labels with it.

    MixUp (Zhang et al., ICLR 2018) blends pixels, CutMix (Yun et al., ICCV 2019) pastes a rectangle. With
    both, each batch gets one of them, at random.

    Args:
        num_classes: number of classes C.
        mixup: alpha of MixUp's Beta distribution; 0: no MixUp.
        cutmix: alpha of CutMix's Beta distribution; 0: no CutMix.
    """

    def __init__(self, num_classes: int, *, mixup: float, cutmix: float) -> None:
        self._ways: list[v2.Transform] = []
        if mixup:  # torchvision samples nothing with an alpha that is an integer
            self._ways.append(v2.MixUp(alpha=float(mixup), num_classes=num_classes))
        if cutmix:
            self._ways.append(v2.CutMix(alpha=float(cutmix), num_classes=num_classes))

    def __bool__(self) -> bool:
        return bool(self._ways)

    def __call__(self, images: Tensor, labels: Tensor, *place: int) -> tuple[Tensor, Tensor]:
        """Blend a batch.

        Args:
            images: float [B, 3, H, W].
            labels: int64 [B].
            place: integers that name the batch, such as epoch, number in the epoch and rank: with the
                same ones the same happens, whatever else drew random numbers.

        Returns:
            images float [B, 3, H, W] and targets float [B, C], each row of which adds up to 1.
        """
        random = stream(torch.initial_seed(), *place)
        with lent_generator(random.getrandbits(63)):
            blended: tuple[Tensor, Tensor] = random.choice(self._ways)(images, labels)
        return blended
