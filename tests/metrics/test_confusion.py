"""The confusion matrix on disk: exact numbers in the table, a picture that opens."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sweepmaker.metrics.confusion import write_confusion


def _pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def test_table_has_labels_as_rows_and_survives_odd_names(tmp_path: Path) -> None:
    names = ["Größe, ü", 'say "x"', "日本 $5", "_"]
    matrix = torch.arange(16).reshape(4, 4)
    table, _ = write_confusion(tmp_path, "valid", matrix, names)
    assert table.name == "confusion_valid.csv"
    with table.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[1:] == names
    assert [row[0] for row in rows] == names
    assert [[int(count) for count in row[1:]] for row in rows] == matrix.tolist()


def test_names_that_the_font_lacks_or_that_look_like_formulas_warn_nobody(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_confusion(tmp_path, "test", torch.eye(2, dtype=torch.int64), ["日本", "$a$ \\frac{"])


@pytest.mark.parametrize("classes", [2, 10, 133])
def test_picture_is_sharp_enough_for_every_class(tmp_path: Path, classes: int) -> None:
    names = [f"{index:03d}.American_water_spaniel" for index in range(classes)]
    matrix = 40 * torch.eye(classes, dtype=torch.int64)
    _, picture = write_confusion(tmp_path, "test", matrix, names)
    pixels = _pixels(picture)
    assert min(pixels.shape) > 15 * classes  # a cell holds a line of text
    assert max(pixels.shape) < 4000
    # No text is cut off at a border.
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()


def test_every_class_is_drawn(tmp_path: Path) -> None:
    """The diagonal of an identity is dark from corner to corner."""
    classes = 60
    matrix = torch.eye(classes, dtype=torch.int64)
    _, picture = write_confusion(tmp_path, "test", matrix, ["x"] * classes)
    dark = _pixels(picture)[:, :-100] < 80  # without the colour bar
    rows = np.flatnonzero(dark.sum(axis=1) > 8)
    assert len(rows) > 15 * classes


def test_label_without_images_and_empty_matrix(tmp_path: Path) -> None:
    write_confusion(tmp_path, "valid", torch.zeros(3, 3, dtype=torch.int64), ["a", "b", "c"])


def test_names_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 class names"):
        write_confusion(tmp_path, "valid", torch.eye(3, dtype=torch.int64), ["a", "b"])
    assert not list(tmp_path.iterdir())
