"""Metrics of one run: what is shown of each in a table, and its curve with a bounded number of points.

Whatever the number of epochs, the memory is that of `MOST_POINTS` points a metric.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

from sweepmaker.compare import rows

MOST_POINTS = 400
_SPLITS = ("train", "val", "valid", "validation", "test")
_LOWER = {
    "loss", "losses", "err", "error", "errors", "mae", "mse", "rmse", "perplexity", "ppl", "nll", "bce",
    "brier", "ece", "fid", "wer", "cer",
}  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Curve:
    """Points (epoch, seconds, value); of too many, the extremes of each stretch stay.

    Where there are more than `MOST_POINTS`, of every four neighbours the lowest and the highest are
    kept, in their order, and the first and last point of all: no peak and no dip is lost.
    """

    __slots__ = ("epochs", "seconds", "thinned", "values")

    def __init__(self) -> None:
        self.epochs, self.seconds, self.values = array("d"), array("d"), array("d")
        self.thinned = False

    def extend(self, epochs: Iterable[float], seconds: Iterable[float], values: Iterable[float]) -> None:
        """Further points, in the order of time."""
        self.epochs.extend(epochs)
        self.seconds.extend(seconds)
        self.values.extend(values)
        while len(self.values) > MOST_POINTS:
            self._thin()

    def _thin(self) -> None:
        values = self.values
        last = len(values) - 1
        keep = {0, last}
        for start in range(0, last + 1, 4):
            stretch = range(start, min(start + 4, last + 1))
            keep |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
        order = sorted(keep)
        self.epochs = array("d", [self.epochs[i] for i in order])
        self.seconds = array("d", [self.seconds[i] for i in order])
        self.values = array("d", [values[i] for i in order])
        self.thinned = True


class Series:
    """One metric of a run: the finite values it took.

    Attributes:
        count: of finite values.
        broken: of those that were nan or infinite.
        low, high, last: None while there is none.
        low_epoch, high_epoch: where ``low`` and ``high`` were first reached.
        curve: None where no curves are kept.
    """

    __slots__ = ("broken", "count", "curve", "high", "high_epoch", "last", "low", "low_epoch")

    def __init__(self, curve: bool) -> None:
        self.count = self.broken = 0
        self.low: float | None = None
        self.high: float | None = None
        self.last: float | None = None
        self.low_epoch: float | None = None
        self.high_epoch: float | None = None
        self.curve = Curve() if curve else None

    def best(self, mode: str) -> float | None:
        """The highest value, or with ``min`` the lowest one."""
        return self.high if mode == "max" else self.low

    def best_epoch(self, mode: str) -> float | None:
        """The epoch in which `best` was first reached; None where it is not known."""
        found = self.high_epoch if mode == "max" else self.low_epoch
        return None if found is None or not math.isfinite(found) else found

    def add(self, epochs: Sequence[float], seconds: Sequence[float], values: Sequence[float]) -> None:
        """Values with the epoch and the time of each."""
        if not all(map(math.isfinite, values)):
            good = [i for i, value in enumerate(values) if math.isfinite(value)]
            self.broken += len(values) - len(good)
            epochs, seconds, values = ([some[i] for i in good] for some in (epochs, seconds, values))
        if not values:
            return
        self.count += len(values)
        self.last = values[-1]
        low, high = min(values), max(values)
        if self.low is None or low < self.low:
            self.low, self.low_epoch = low, epochs[values.index(low)]
        if self.high is None or high > self.high:
            self.high, self.high_epoch = high, epochs[values.index(high)]
        if self.curve is not None:
            self.curve.extend(epochs, seconds, values)


class Metrics(dict[str, Series]):
    """The metrics of a run by name, read row by row.

    Args:
        curves: keep them as well.
    """

    def __init__(self, curves: bool = False) -> None:
        super().__init__()
        self._curves = curves
        self.rows = 0
        self.unreadable = 0  # cells, and rows with too many or too few of them
        self._epoch = math.nan  # of the last row that has one

    def read_csv(self, folder: Path, name: str) -> None:
        """Every whole row of a ``metrics.csv``, ours or of Lightning's CSVLogger.

        Args:
            folder: of the run.
            name: of the file, relative to it.

        Raises:
            ValueError: it is not a table of metrics.
            OSError: it cannot be read.
        """
        for names, block in rows.blocks(folder, name):
            self.add(names, block)

    def add(self, names: Sequence[str], block: Sequence[Sequence[str]]) -> None:
        """Rows of cells as text; empty cells are no values."""
        fitting = [row for row in block if len(row) == len(names)]
        self.unreadable += len(block) - len(fitting)
        if not fitting:
            return
        columns = dict(zip(names, zip(*fitting, strict=True), strict=True))
        steps = self._numbers(columns.get("step", ())) or [math.nan] * len(fitting)
        epochs = self._epochs(columns.get("epoch"), steps)
        seconds = self._numbers(columns.get("seconds", ())) or [math.nan] * len(fitting)
        self.rows += len(fitting)
        for name, cells in columns.items():
            if name in rows.PLACE or not name:
                continue
            series = self.get(name)
            if series is None:
                series = self[name] = Series(self._curves)
            if all(cells):
                series.add(epochs, seconds, self._numbers(cells))
            elif any(cells):
                filled = [i for i, cell in enumerate(cells) if cell]
                series.add(
                    [epochs[i] for i in filled],
                    [seconds[i] for i in filled],
                    self._numbers([cells[i] for i in filled]),
                )

    def _epochs(self, cells: Sequence[str] | None, steps: list[float]) -> list[float]:
        """Of each row; where a row has none, that of the row before it. Without any they are the steps."""
        if cells is None and math.isnan(self._epoch):
            return steps
        epochs = [math.nan] * len(steps) if cells is None else self._numbers(cells)
        for i, epoch in enumerate(epochs):
            if math.isnan(epoch):
                epochs[i] = self._epoch
            else:
                self._epoch = epoch
        return epochs

    def _numbers(self, cells: Sequence[str]) -> list[float]:
        try:
            return list(map(float, cells))
        except ValueError:
            return [self._number(cell) for cell in cells]

    def _number(self, cell: str) -> float:
        try:
            return float(cell)
        except ValueError:
            self.unreadable += bool(cell)
            return math.nan


def lower_is_better(name: str) -> bool:
    """What a metric's name says of its direction, where nothing else does."""
    parts = [part for part in name.split("/") if not part.startswith("dataloader_idx_")] or [name]
    leaf = parts[-1] if parts[-1].lower() not in _SPLITS else "_".join(parts)  # loss/train
    words = re.split(r"[\W\d_]+", _CAMEL.sub("_", leaf).lower())
    return any(word in _LOWER or word.endswith("loss") for word in words)
