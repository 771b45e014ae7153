"""MixUp and CutMix: what becomes of images and labels, and that only the batch's place decides."""

from __future__ import annotations

import pytest
import torch

from sweepmaker.models.mixing import Mixing

LABELS = torch.tensor([0, 1, 2, 1])
IMAGES = torch.arange(4.0)[:, None, None, None].expand(4, 3, 16, 16).clone()


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0), (1, 0), (0, 1)])
def test_labels_follow_the_pixels(mixup: float, cutmix: float) -> None:
    mixing = Mixing(3, mixup=mixup, cutmix=cutmix)
    for number in range(20):
        images, targets = mixing(IMAGES, LABELS, 0, number)
        assert images.shape == IMAGES.shape and targets.shape == (4, 3)
        assert torch.allclose(targets.sum(1), torch.ones(4))
        # image i is blended with image i - 1: the share of its own pixels is that of its own label
        own = (images.mean((1, 2, 3)) - IMAGES.roll(1, 0).mean((1, 2, 3))) / (
            IMAGES - IMAGES.roll(1, 0)
        ).mean((1, 2, 3))
        assert torch.allclose(targets[torch.arange(4), LABELS], own, atol=1e-5)


def test_the_same_place_gives_the_same_whatever_else_drew() -> None:
    torch.manual_seed(5)
    mixing = Mixing(3, mixup=0.4, cutmix=1.0)
    first = mixing(IMAGES, LABELS, 2, 7, 0)
    state = torch.get_rng_state()
    torch.rand(100)
    again = mixing(IMAGES, LABELS, 2, 7, 0)
    other = mixing(IMAGES, LABELS, 2, 8, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    torch.set_rng_state(state)
    assert torch.equal(mixing(IMAGES, LABELS, 2, 7, 0)[1], first[1])
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from the global generator
    torch.manual_seed(6)
    assert not torch.equal(mixing(IMAGES, LABELS, 2, 7, 0)[1], first[1])


def test_off_by_default() -> None:
    assert not Mixing(3, mixup=0.0, cutmix=0.0)
