"""Predictions for many files as a CSV."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.serving.settings import Options


def write(folder: Path, options: Options) -> None:
    """Write the CSV."""
    raise NotImplementedError
