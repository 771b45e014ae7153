"""Small networks and partials that the tests of this folder share."""

from __future__ import annotations

import functools
from typing import Any, cast

import torch

from sweepmaker.models import Classifier

SMALL = "shufflenet_v2_x0_5"  # 0.34 M parameters below its head
CONV_HEAD = "squeezenet1_1"  # its head is a convolution


def architecture(name: str = SMALL, num_classes: int = 4, **changes: Any) -> dict[str, Any]:
    return {
        "library": "torchvision",
        "name": name,
        "num_classes": num_classes,
        "dropout": None,
    } | changes


def adamw(**settings: Any) -> functools.partial[torch.optim.Optimizer]:
    given: dict[str, Any] = {"lr": 1e-3} | settings
    kind = cast(type[torch.optim.Optimizer], torch.optim.AdamW)
    return functools.partial(kind, **given)


def classifier(**settings: Any) -> Classifier:
    given: dict[str, Any] = {
        "name": SMALL,
        "num_classes": 4,
        "weights": "none",
        "optimizer": adamw(),
    }
    return Classifier(**(given | settings))
