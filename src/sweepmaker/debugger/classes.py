"""What the run's data module knows of its classes, before the first batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightning.pytorch import Trainer


def count(trainer: Trainer) -> int | None:
    """How many there are; None where nobody says."""
    classes = getattr(getattr(trainer, "datamodule", None), "num_classes", None)
    return classes if isinstance(classes, int) else None


def names(trainer: Trainer) -> list[str]:
    """Their names; empty where nobody says."""
    known = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    return [str(name) for name in known] if isinstance(known, list | tuple) else []


def images(trainer: Trainer) -> list[int] | None:
    """Training images of each class, where the data module can tell."""
    data: Any = getattr(trainer, "datamodule", None)
    if not (hasattr(data, "dataset") and hasattr(data, "num_classes") and hasattr(data, "source")):
        return None
    train = data.dataset("train")
    counts: list[int] = np.bincount(data.source.labels[train.items], minlength=data.num_classes).tolist()
    return counts
