"""A folder of generated photo-like JPEGs, about 500 x 375 px and 45 KB as in dogImages."""

from __future__ import annotations

from pathlib import Path

from tests.images import class_tree

CLASSES = ("ash", "birch", "cedar", "elm")
HELD_OUT = 2  # images a class of each split that is not measured


def photo_tree(root: Path, images: int) -> int:
    """Write ``root/{train,valid,test}/CLASS/*.jpg`` and return how many are for training.

    Args:
        root: is made.
        images: about as many in ``train`` (a multiple of the number of classes).
    """
    each = max(1, images // len(CLASSES))
    class_tree(root, CLASSES, splits=("train",), images=each, size=(500, 375))
    class_tree(root, CLASSES, splits=("valid", "test"), images=HELD_OUT, size=(500, 375))
    return each * len(CLASSES)
