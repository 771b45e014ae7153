"""What a frozen backbone makes of every image, in one mapped file that all runs and trials share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sweepmaker.data.cache.blob import Blob, Damaged, Writer
from sweepmaker.data.cache.shared import obtain
from sweepmaker.data.source import Say

_FORMAT = 1

Tables = dict[str, Tensor]
"""Features by split: float32 [views, images, D], images in the order of the split."""


def obtain_features(
    about: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, int, int]],
    compute: Callable[[str], Iterable[Tensor]],
    folders: Sequence[Path],
    *,
    say: Say,
) -> tuple[Tables, Path]:
    """The features that ``about`` describes: found whole in one of ``folders``, or computed and kept there.

    Args:
        about: JSON: everything that the features follow from.
        shapes: (views, images, D) by split.
        compute: yields the features of a split, float [B, D], view by view in the order of its images.
        folders: where the file may lie.
        say: takes one line for the user.

    Returns:
        the tables and the file.

    Raises:
        NoRoom, NoPlace: see `shared.obtain`.
        Exception: whatever ``compute`` raises.
    """
    whole = {"kind": "features", "format": _FORMAT, "shapes": dict(shapes), **about}
    text = json.dumps(whole, sort_keys=True)

    def fill(writer: Writer) -> None:
        for split, shape in shapes.items():
            batches = (batch.float().cpu().numpy() for batch in compute(split))  # each as it is made
            writer.section_of(split, np.dtype(np.float32), shape, batches)

    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    size = sum(views * images * width * 4 for views, images, width in shapes.values())

    def read(blob: Blob) -> tuple[Tables, Path]:
        return {split: _table(blob, split, shape) for split, shape in shapes.items()}, blob.path

    return obtain(f"features-{key}.cache", folders, json.loads(text), fill, read, size=size, say=say)


def _table(blob: Blob, split: str, shape: tuple[int, int, int]) -> Tensor:
    array = blob.array(split)
    if array.shape != shape or array.dtype != np.float32:
        raise Damaged(f"its features of {split} have another shape")
    return torch.from_numpy(array)
