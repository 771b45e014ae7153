"""Values over time in bounded memory: down-sampled so that no extreme is lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LIMIT = 1024  # buckets: more than a plot has pixels


class Series:
    """Channels over time in at most ``limit`` buckets; each has lowest, mean and highest value.

    When all buckets are full, two neighbours become one, so that a run of ten hours needs as much
    room as one of ten minutes. What was not there to be measured is nan.

    Args:
        names: of the channels.
        limit: buckets, an even number.

    Attributes:
        names: the channels, in the order of the columns.
    """

    def __init__(self, names: Sequence[str], limit: int = LIMIT) -> None:
        self.names = list(names)
        self._limit = limit
        self._filled = 0  # buckets begun
        self._span = 1  # additions that a bucket takes
        self._added = 0  # to the last bucket
        self._time = np.zeros(limit)
        self._low, self._high = self._empty(np.nan), self._empty(np.nan)
        self._total, self._count = self._empty(0.0), self._empty(0.0)

    @property
    def limit(self) -> int:
        """Most buckets."""
        return self._limit

    def _empty(self, value: float) -> Floats:
        return np.full((self._limit, len(self.names)), value)

    def __len__(self) -> int:
        return self._filled

    def add(
        self,
        time: float,
        low: Floats,
        high: Floats | None = None,
        total: Floats | None = None,
        count: float = 1.0,
    ) -> None:
        """Add one value for each channel, or the lowest, highest and sum of ``count`` of them.

        Args:
            time: seconds since the run began; never less than before.
            low: float64 [channels], nan where there is none.
            high: as ``low``; None: the same values.
            total: as ``low``; None: the same values.
            count: how many values ``total`` sums up.
        """
        if self._filled == 0 or self._added >= self._span:
            self._begin(time)
        last = self._filled - 1
        high = low if high is None else high
        total = low if total is None else total
        self._low[last] = np.fmin(self._low[last], low)
        self._high[last] = np.fmax(self._high[last], high)
        there = ~np.isnan(total)
        self._total[last, there] += total[there]
        self._count[last, there] += count
        self._added += 1

    def _begin(self, time: float) -> None:
        if self._filled == self._limit:
            half = self._limit // 2
            self._time[:half] = self._time[::2]
            self._time[half:] = 0
            pairs = (
                (self._low, np.fmin, np.nan), (self._high, np.fmax, np.nan),
                (self._total, np.add, 0.0), (self._count, np.add, 0.0),
            )  # fmt: skip
            for values, join, nothing in pairs:
                values[:half] = join(values[::2], values[1::2])
                values[half:] = nothing
            self._filled, self._span = half, self._span * 2
        self._time[self._filled] = time
        self._filled += 1
        self._added = 0

    @property
    def time(self) -> Floats:
        """Begin of each bucket, seconds since the run began: float64 [buckets]."""
        return self._time[: self._filled]

    def low(self, name: str) -> Floats:
        """Lowest value in each bucket: float64 [buckets]."""
        return self._column(self._low, name)

    def high(self, name: str) -> Floats:
        """Highest value in each bucket: float64 [buckets]."""
        return self._column(self._high, name)

    def mean(self, name: str) -> Floats:
        """Mean in each bucket, nan where nothing was measured: float64 [buckets]."""
        count = self._column(self._count, name)
        total = self._column(self._total, name)
        mean: Floats = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return mean

    def _column(self, values: Floats, name: str) -> Floats:
        if name not in self.names:
            return np.full(self._filled, np.nan)
        column: Floats = values[: self._filled, self.names.index(name)]
        return column

    def has(self, name: str) -> bool:
        """Whether anything was measured in this channel."""
        return name in self.names and bool(np.any(self._column(self._count, name) > 0))

    def as_dict(self) -> dict[str, Any]:
        """Plain lists for JSON, four significant digits; None for nan."""
        parts = {"low": self._low, "high": self._high, "total": self._total, "count": self._count}
        columns = {name: plain(values[: self._filled].T) for name, values in parts.items()}
        return {"names": self.names, "limit": self._limit, "span": self._span, "added": self._added,
                "time": np.round(self.time, 2).tolist(), **columns}  # fmt: skip

    @classmethod
    def of_dict(cls, kept: Mapping[str, Any], names: Sequence[str] = ()) -> Series:
        """What `as_dict` gave, with columns for ``names`` that are new.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        every = list(dict.fromkeys([*kept["names"], *names]))
        filled, known, limit, span = (
            len(kept["time"]),
            len(kept["names"]),
            int(kept["limit"]),
            int(kept["span"]),
        )
        if not filled <= limit <= LIMIT or span < 1:
            raise ValueError("more buckets than its limit, or a limit of another program")
        series = cls(every, limit)
        series._filled, series._span, series._added = filled, span, int(kept["added"])
        series._time[:filled] = kept["time"]
        for name in ("low", "high", "total", "count"):
            values = np.array(kept[name], dtype=float).reshape(known, filled).T
            getattr(series, f"_{name}")[:filled, :known] = values
        return series


class Histogram:
    """How often which value came, for each channel: percentiles of a whole run in bounded memory.

    Args:
        names: of the channels.
        edges: rising limits of the bins, float64 [bins + 1]; what lies outside counts for the outer ones.
    """

    def __init__(self, names: Sequence[str], edges: Floats) -> None:
        self.names = list(names)
        self._edges = edges
        self._counts = np.zeros((len(self.names), len(edges) - 1), dtype=np.int64)

    def add(self, name: str, values: Floats) -> None:
        """Count float64 [n]; nan does not count."""
        values = values[~np.isnan(values)]
        places = np.clip(np.searchsorted(self._edges, values, side="right") - 1, 0, len(self._edges) - 2)
        np.add.at(self._counts[self.names.index(name)], places, 1)

    def count(self, name: str) -> int:
        """How many values came."""
        return int(self._row(name).sum())

    def counts(self, name: str) -> npt.NDArray[np.int64]:
        """Of each bin: int64 [bins]."""
        return self._row(name)

    @property
    def edges(self) -> Floats:
        """Limits of the bins."""
        return self._edges

    def quantile(self, name: str, share: float) -> float:
        """The value below which ``share`` of all lie, to within half a bin; nan where there are none."""
        counts = self._row(name)
        if not (total := counts.sum()):
            return float("nan")
        place = int(np.searchsorted(np.cumsum(counts), max(1.0, share * total), side="left"))
        place = min(place, len(counts) - 1)
        return float((self._edges[place] + self._edges[place + 1]) / 2)

    def _row(self, name: str) -> npt.NDArray[np.int64]:
        if name not in self.names:
            return np.zeros(len(self._edges) - 1, dtype=np.int64)
        row: npt.NDArray[np.int64] = self._counts[self.names.index(name)]
        return row

    def as_dict(self) -> dict[str, Any]:
        """For JSON: only bins that are not empty."""
        return {
            name: {str(place): int(counts[place]) for place in np.flatnonzero(counts)}
            for name, counts in zip(self.names, self._counts, strict=True)
        }

    def load(self, kept: Mapping[str, Mapping[str, int]]) -> None:
        """Add what `as_dict` of an earlier process gave; channels that are gone are left out.

        Raises:
            ValueError, TypeError, IndexError: it is something else.
        """
        for name, bins in kept.items():
            if name in self.names:
                for place, count in bins.items():
                    self._counts[self.names.index(name), int(place)] += int(count)


def percent_bins() -> Floats:
    """0 to 100 in halves, the last one for 100 itself, centred on the value."""
    return np.arange(-0.25, 101.0, 0.5)


def duration_bins() -> Floats:
    """10 microseconds to three hours, 40 bins a decade: a percentile is right to within 3 %."""
    return np.logspace(-5, 4, 9 * 40 + 1)


def plain(values: Floats) -> Any:
    """Nested lists of four significant digits, None for nan: short in JSON."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.floor(np.log10(np.abs(values)))
        scale = np.power(10.0, 3 - np.where(np.isfinite(size), size, 0))
        short = np.round(values * scale) / scale
    rows = np.where(np.isfinite(short), short, np.nan).astype(object)
    rows[~np.isfinite(short)] = None
    return rows.tolist()
