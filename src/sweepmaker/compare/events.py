"""Scalars of TensorBoard event files, read one event after the other (extra: tensorboard)."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sweepmaker.compare.series import Metrics
from sweepmaker.config.errors import UserError

_ROWS = 256


def read(folder: Path, metrics: Metrics) -> None:
    """Every scalar of the event files in ``folder``, in the order in which they were written.

    Steps become rows as in a ``metrics.csv``: the tag ``epoch``, which Lightning logs beside its
    metrics, is their epoch, and wall time since the first event their seconds.

    Raises:
        UserError: tensorboard is not installed.
        ValueError: a file is damaged.
    """
    try:
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
    except ImportError:
        raise UserError(
            "TensorBoard's files need tensorboard", fix="pip install 'sweepmaker[tensorboard]'"
        ) from None
    start: float | None = None
    rows: list[dict[str, str]] = []
    for file in _files(folder):
        row: dict[str, str] = {}
        events = 0
        for event in LegacyEventFileLoader(str(file)).Load():  # it ends at a record that is cut off
            events += 1
            start = event.wall_time if start is None else start
            for tag, value in _scalars(event):
                if row and row["step"] != str(event.step):
                    rows.append(row)
                    row = {}
                row.setdefault("step", str(event.step))
                row.setdefault("seconds", repr(event.wall_time - start))
                row[tag] = value
            if len(rows) >= _ROWS:
                _hand_over(rows, metrics)
        rows += [row] if row else []
        _hand_over(rows, metrics)
        if not events and file.stat().st_size:
            raise ValueError(f"{file.name} is damaged: not one event can be read")


def _files(folder: Path) -> list[Path]:
    """No links and no pipes."""
    found = folder.glob("events.out.tfevents.*")
    return sorted(path for path in found if stat.S_ISREG(path.lstat().st_mode))


def _scalars(event: Any) -> Iterator[tuple[str, str]]:
    for value in event.summary.value:
        if value.HasField("simple_value"):
            yield value.tag, repr(value.simple_value)
        elif value.HasField("tensor") and len(value.tensor.float_val) == 1:
            yield value.tag, repr(value.tensor.float_val[0])


def _hand_over(rows: list[dict[str, str]], metrics: Metrics) -> None:
    if rows:
        names = list(dict.fromkeys(name for row in rows for name in row))
        metrics.add(names, [[row.get(name, "") for name in names] for row in rows])
        rows.clear()
