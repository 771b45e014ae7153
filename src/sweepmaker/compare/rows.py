"""Rows of a ``metrics.csv``, ours or of Lightning's CSVLogger, that may be written at this moment."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from sweepmaker.run import untrusted

PLACE = ("epoch", "step", "seconds")  # columns that say where a row stands; all others are metrics
_BLOCK = 256  # rows that are handed on together
_LARGEST = 256 * 2**20  # bytes: some million epochs
_LONGEST_TIME = 1e10  # seconds


def blocks(folder: Path, name: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """The columns' names with some rows of cells, until all whole rows were there.

    Args:
        folder: of the run.
        name: of the file, relative to it.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no table of metrics, or larger than any is.
        OSError: it cannot be read, or is no file of the folder's own.
    """
    with untrusted.open_inside(folder, name) as binary:
        if os.fstat(binary.fileno()).st_size > _LARGEST:
            raise ValueError(f"it is larger than {_LARGEST} bytes")
        reader = csv.reader(_whole(io.TextIOWrapper(binary, encoding="utf-8", errors="replace", newline="")))
        try:
            names = next(reader, [])
            if names and not {"epoch", "step"} & set(names):
                raise ValueError("it has no column epoch or step")
            while block := list(islice(reader, _BLOCK)):
                yield names, block
        except csv.Error as error:
            raise ValueError(str(error)) from error


def values(folder: Path, name: str) -> Iterator[tuple[str, float, int, float]]:
    """Metric, value, step and seconds of every finite value in whole rows, in the order of the file.

    Raises:
        FileNotFoundError, ValueError, OSError: as `blocks`.
    """
    for names, block in blocks(folder, name):
        for cells in block:
            row = dict(zip(names, cells, strict=False))
            step, seconds = _float(row.get("step")), _float(row.get("seconds")) or 0.0
            if len(cells) != len(names) or step is None or not step.is_integer() or abs(step) >= 2**53:
                continue  # not one of our rows
            for metric, cell in row.items():
                value = _float(cell)
                if metric and metric not in PLACE and value is not None:
                    yield metric, value, int(step), min(max(seconds, 0.0), _LONGEST_TIME)


def _float(cell: str | None) -> float | None:
    try:
        found = float(cell or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _whole(file: Iterable[str]) -> Iterator[str]:
    """Lines that end: a run that writes now, or was killed, may have left half of one."""
    return (line for line in file if line.endswith("\n"))
