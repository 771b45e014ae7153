"""Does a fast engine say what the plain one says? Asked on sample images before it answers anybody."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sweepmaker.data.transforms import normalise
from sweepmaker.run.disk import reason
from sweepmaker.serving.artifact import Transform
from sweepmaker.serving.engines.base import Engine

SAMPLES = 6
EXACT = 1e-3
"""Allowed difference of logits in float32, as a share of their range over all samples; 1e-6 is usual."""
REDUCED = 0.1
"""Allowed difference in bfloat16, likewise; 0.02 is usual, and most on images like these."""


def samples(transform: Transform) -> Tensor:
    """Images that are the same everywhere, prepared: float32 [SAMPLES, 3, S, S].

    Noise with detail at every scale, as photographs have it, in another tint each; the last one is flat.
    """
    random = torch.Generator().manual_seed(0)
    size = transform.image_size
    images = torch.zeros(SAMPLES, 3, size, size)
    octave, strength = 2, 64.0
    while octave <= max(2, size // 2):
        noise = torch.randn(SAMPLES, 3, octave, octave, generator=random) * strength
        images += functional.interpolate(noise, (size, size), mode="bilinear")
        octave, strength = octave * 2, strength * 0.6
    images += torch.rand(SAMPLES, 3, 1, 1, generator=random) * 128 + 64
    images[-1] = 128
    return normalise(images.clamp_(0, 255).to(torch.uint8), transform.mean, transform.std)


def disagreement(plain: Tensor, engine: Engine, images: Tensor, tolerance: float) -> str | None:
    """What ``engine`` says differently on ``images``; None where it agrees.

    It agrees where no logit differs by more than ``tolerance`` of the range of all logits, for one image
    and for several, and the best class is the same; of two that are nearer than that either may be best.

    Args:
        plain: logits [N, C] of the plain engine.
        engine: a fast one.
        images: what both are given, float32 [N, 3, S, S].
        tolerance: a share.
    """
    try:
        several, alone = engine(images), engine(images[:1])
    except Exception as error:  # of a library, for what it does not compute after all
        return f"it fails: {type(error).__name__}: {reason(error)[:200]}"
    if several.shape != plain.shape:
        return (
            f"its answer to {len(images)} images has the shape {list(several.shape)}, not {list(plain.shape)}"
        )
    if alone.shape != plain[:1].shape:
        return f"its answer to one image has the shape {list(alone.shape)}, not {list(plain[:1].shape)}"
    bound = tolerance * float(plain.max() - plain.min())
    for logits in (several, torch.cat([alone, several[1:]])):
        difference = float((logits - plain).abs().max())
        if not difference <= bound:  # nan is no agreement
            return f"logits differ by {difference:.3g}, more than {bound:.3g} ({tolerance:g} of their range)"
        chosen = plain.gather(1, logits.argmax(dim=1, keepdim=True))[:, 0]
        if bool((chosen < plain.amax(dim=1) - bound).any()):
            return "another class is the best one"
    return None
