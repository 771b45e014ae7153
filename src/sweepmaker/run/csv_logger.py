"""``metrics.csv``: one row a step, appended, cut back to the checkpoint on resume, never wiped.

Lightning's own CSVLogger deletes the file of an earlier process when it starts.
"""

from __future__ import annotations

import csv
import io
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from sweepmaker.run import atomic, disk

_FIRST = ("epoch", "step", "seconds")


class MetricsCSV(Logger):
    """Rows of metrics; what is logged at the same epoch and step shares a row.

    Args:
        path: the file; rows already there are kept (see `truncate`).
        resume: the run's folder, for the message of a full disk; None where it cannot be continued.

    Columns are ``epoch`` (from 0), ``step`` (optimizer steps done), ``seconds`` (of running time
    since the run's first start, earlier processes of a resumed run counted in) and the metrics in
    the order in which they first came. A row is written once the next begins, or on `flush`.

    Raises:
        UserError: by whatever writes, where the file cannot be written.
    """

    def __init__(self, path: Path | str, resume: Path | None = None) -> None:
        super().__init__()
        self._resume = resume
        self._path = Path(path)
        self._columns, self._rows = _read(self._path)
        self._earlier = float(self._rows[-1]["seconds"]) if self._rows else 0.0
        self._start = time.monotonic()
        self._pending: dict[str, str] | None = None
        self._reopened = False  # the pending row stands in the file already, with less in it
        self.truncate(len(self._rows))

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def rows(self) -> int:
        """How many rows there are, a pending one included: what a checkpoint remembers."""
        return len(self._rows) + (self._pending is not None)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the configuration stands in ``.hydra/config.yaml``."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add ``metrics`` to the row of this epoch and step."""
        values = {name: repr(float(value)) for name, value in metrics.items() if name != "epoch"}
        epoch = str(int(metrics["epoch"])) if "epoch" in metrics else ""
        place = {"epoch": epoch, "step": "" if step is None else str(step)}
        if self._pending is not None and any(self._pending[key] != place[key] for key in place):
            self.flush()
        if (
            self._pending is None
            and self._rows
            and all(self._rows[-1].get(key) == place[key] for key in place)
        ):
            # a checkpoint flushed this row before it was whole
            self._pending, self._reopened = self._rows.pop(), True
        if self._pending is None:
            self._pending = {**place, "seconds": f"{self.seconds:.3f}"}
        self._pending.update(values)

    @property
    def seconds(self) -> float:
        """Running time since the run's first start, in seconds."""
        return self._earlier + time.monotonic() - self._start

    @rank_zero_only
    def flush(self) -> None:
        """Write the pending row; a crash before this loses that row, which resuming makes again."""
        if self._pending is None:
            return
        row, self._pending = self._pending, None
        self._rows.append(row)
        new = [name for name in dict.fromkeys((*_FIRST, *row)) if name not in self._columns]
        self._columns += new
        if new or self._reopened:
            self._rewrite()
        else:
            with self._naming(), self._path.open("a", newline="") as file:
                file.write(_line([row.get(name, "") for name in self._columns]))

    @rank_zero_only
    def truncate(self, rows: int) -> None:
        """Keep the first ``rows`` rows: those that the checkpoint knew of."""
        self._pending = None
        self._reopened = False
        self._rows = self._rows[:rows]
        self._columns = [
            name for name in self._columns if name in _FIRST or any(row.get(name) for row in self._rows)
        ]
        self._earlier = float(self._rows[-1]["seconds"]) if self._rows else 0.0
        if self._rows or self._path.exists():
            self._rewrite()

    def save(self) -> None:
        """Nothing: rows are written as they complete."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write what is pending."""
        self.flush()

    def _rewrite(self) -> None:
        self._reopened = False
        text = _line(self._columns) if self._columns else ""
        text += "".join(_line([row.get(name, "") for name in self._columns]) for row in self._rows)
        with self._naming():
            atomic.write_text(self._path, text)

    def _naming(self) -> AbstractContextManager[None]:
        return disk.naming(self._path, resume=self._resume)


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    if not path.exists():
        return [], []
    with path.open(newline="") as file:
        text = file.read()
    # a kill can cut the last row off in the middle: without its line end it was never whole
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    return list(reader.fieldnames or []), list(reader)
