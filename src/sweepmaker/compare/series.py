"""Metrics of one run: what is shown of each in a table, and its curve with a bounded number of points.

Whatever the number of epochs, the memory is that of `MOST_POINTS` points a metric.
"""

from __future__ import annotations

import csv
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

MOST_POINTS = 400
_BLOCK = 256  # rows that are turned into columns together
_PLACE = ("epoch", "step", "seconds")


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
        """The epoch in which `best` was first reached."""
        return self.high_epoch if mode == "max" else self.low_epoch

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
        self.unreadable = 0  # cells

    def read_csv(self, path: Path) -> None:
        """Every whole row of a ``metrics.csv``, ours or of Lightning's CSVLogger.

        Raises:
            ValueError: it is not a table of metrics.
            OSError: it cannot be read.
        """
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            try:
                reader = csv.reader(_whole(file))
                names = next(reader, [])
                if names and not {"epoch", "step"} & set(names):
                    raise ValueError("it has no column epoch or step")
                while block := list(islice(reader, _BLOCK)):
                    self.add(names, block)
            except csv.Error as error:
                raise ValueError(str(error)) from error

    def add(self, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells as text; empty cells are no values."""
        fitting = [row for row in rows if len(row) == len(names)]
        self.unreadable += len(rows) - len(fitting)
        if not fitting:
            return
        columns = dict(zip(names, zip(*fitting, strict=True), strict=True))
        steps = self._numbers(columns.get("step", ())) or [math.nan] * len(fitting)
        epochs = self._numbers(columns.get("epoch", ())) or steps
        seconds = self._numbers(columns.get("seconds", ())) or [math.nan] * len(fitting)
        self.rows += len(fitting)
        for name, cells in columns.items():
            if name in _PLACE or not name:
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


def _whole(file: Iterable[str]) -> Iterator[str]:
    """Lines that end: a run that writes now, or was killed, may have left half of one."""
    return (line for line in file if line.endswith("\n"))


def lower_is_better(name: str) -> bool:
    """What a metric's name says of its direction, where nothing else does."""
    leaf = name.rpartition("/")[2].lower()
    return any(word in leaf for word in ("loss", "err", "mae", "mse", "rmse", "perplexity", "nll", "brier"))
