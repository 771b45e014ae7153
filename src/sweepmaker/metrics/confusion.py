"""The confusion matrix of a split, as data and as a picture."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from torch import Tensor

from sweepmaker.run.atomic import write_bytes, write_text

_INCHES_A_CLASS = 0.17
_SMALLEST, _LARGEST = 5.0, 24.0  # inches, the matrix alone
_NUMBERS_UP_TO = 25  # classes; beyond it a count doesn't fit into its cell
_LONGEST_NAME = 28  # characters
_INCHES_A_LABEL = 0.12  # a line of 7 pt text
_INCHES_A_LETTER = 0.065  # 7 pt, a wide one
_TITLE, _BAR = 0.4, 1.0  # inches above, and to the right
_DOTS_AN_INCH = 100

Counts = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]


def write_confusion(folder: Path, name: str, matrix: Tensor, class_names: Sequence[str]) -> tuple[Path, Path]:
    """Write ``confusion_<name>.csv`` and ``confusion_<name>.png`` into ``folder``.

    The table has a row for each label and a column for each prediction, with the class names in
    both headers. The picture shows each row as shares of its label, so that rare classes are seen
    as well as common ones; up to 25 classes the counts stand in the cells.

    Args:
        folder: an existing folder.
        name: the split, ``valid`` or ``test``.
        matrix: counts [C, C], integer, rows are labels.
        class_names: C names.

    Returns:
        The two paths.

    Raises:
        ValueError: the names don't fit the matrix.
        OSError: the folder is missing, read-only or full.
    """
    counts = matrix.cpu().numpy()
    if counts.shape != (len(class_names), len(class_names)):
        raise ValueError(f"{len(class_names)} class names for a matrix of shape {counts.shape}")
    table, picture = folder / f"confusion_{name}.csv", folder / f"confusion_{name}.png"
    write_text(table, _as_csv(counts, class_names))
    write_bytes(picture, _as_png(counts, class_names, name))
    return table, picture


def _as_csv(counts: Counts, class_names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label \\ prediction", *class_names])
    for class_name, row in zip(class_names, counts.tolist(), strict=True):
        writer.writerow([class_name, *row])
    return text.getvalue()


def _as_png(counts: Counts, class_names: Sequence[str], name: str) -> bytes:
    names = [_shortened(class_name) for class_name in class_names]
    side = min(max(_INCHES_A_CLASS * len(counts), _SMALLEST), _LARGEST)
    # Margins from the longest name: letting matplotlib lay the labels out costs several drawings.
    margin = 0.6 + _INCHES_A_LETTER * max(len(shown) for shown in names)
    width, height = margin + side + _BAR, margin + side + _TITLE
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((margin / width, margin / height, side / width, side / height))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The root makes a few per cent of a row visible, which is what one looks for.
    image = axes.imshow(
        shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0.0, vmax=1.0), interpolation="nearest"
    )
    axes.set_title(f"{name}: {counts.trace()} of {counts.sum()} right", fontsize=10)
    _label_axes(axes, names, side)
    if len(counts) <= _NUMBERS_UP_TO:
        _write_counts(axes, counts, shares)
    bar = figure.add_axes(((margin + side + 0.2) / width, margin / height, 0.15 / width, side / height))
    figure.colorbar(image, cax=bar).set_label("share of the label's images")
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A script that matplotlib's own font lacks shows as boxes; the table has the names.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(content, format="png", dpi=_DOTS_AN_INCH)
    return content.getvalue()


def _write_counts(axes: Axes, counts: Counts, shares: Shares) -> None:
    for row, column in zip(*counts.nonzero(), strict=True):
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color="white" if shares[row, column] > 0.3 else "black",
            fontsize=8,
        )


def _label_axes(axes: Axes, names: Sequence[str], side: float) -> None:
    """Class names on both axes; every n-th one where they would run into each other."""
    step = math.ceil(len(names) * _INCHES_A_LABEL / side)
    places = range(0, len(names), step)
    axes.set_xticks(places, names[::step], rotation=90, fontsize=7)
    axes.set_yticks(places, names[::step], fontsize=7)
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    if step == 1:  # lines to follow from a cell to its two names
        borders = np.arange(len(names) + 1) - 0.5
        ends = borders[0], borders[-1]
        axes.hlines(borders, *ends, colors="lightgrey", linewidths=0.4)
        axes.vlines(borders, *ends, colors="lightgrey", linewidths=0.4)


def _shortened(name: str) -> str:
    # A dollar sign would start a formula.
    name = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return name.replace("$", r"\$")
