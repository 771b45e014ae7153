"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, no download."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.source import ArraySource

_LEVELS = 16  # the file's gray levels are 0..16


def digits() -> ArraySource:
    """The whole set; it has no splits of its own.

    Reads the file that scikit-learn ships instead of calling ``load_digits``, because importing
    scikit-learn takes seconds and this is the default data set of every short run.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    with gzip.open(_file(), "rt", encoding="ascii") as lines:
        table = np.loadtxt(lines, delimiter=",")
    gray = (table[:, :-1] * 255 / _LEVELS + 0.5).astype(np.uint8).reshape(-1, 8, 8)
    labels = table[:, -1].astype(np.int64)
    return ArraySource("digits", [str(digit) for digit in range(10)], gray, labels, {})


def _file() -> Path:
    package = importlib.util.find_spec("sklearn")  # finds it without importing it
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            return path
    raise ConfigError(
        "the digits come with scikit-learn, which is not installed here",
        key="data.source",
        fix="pip install scikit-learn",
    )
