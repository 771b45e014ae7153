"""Steps that took far longer than the others: counted as they come, with what they spent it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sweepmaker.profiler.phases import PHASES, STEP
from sweepmaker.profiler.series import Floats, Histogram

ENOUGH = 100  # durations, before one can be called unusual (AWS's StepOutlier has the same)
_KEPT = 200  # outliers that are told one by one
_SIGMA = 1.4826  # of a normal distribution, in median absolute deviations


class Outliers:
    """Counts steps above a limit that follows from all steps so far.

    Args:
        parameters: of the rule StepOutlier: with ``mad`` the limit is the median and so many robust
            standard deviations, and at least half above the median; else, as AWS has it, the mean and
            ``stddev`` standard deviations.

    Attributes:
        count: of outliers.
        excess: seconds that they took beyond the median.
        phases: seconds of that excess in each phase, roughly: outliers' seconds beyond the mean ones.
        limit: seconds; nan while there are too few steps.
    """

    def __init__(self, parameters: Mapping[str, Any] | None) -> None:
        self._parameters = parameters
        self._waiting: list[tuple[float, npt.NDArray[np.int64], Floats, Floats]] = []
        self._n, self._sum, self._squares = 0, 0.0, 0.0
        self._usual = np.zeros(len(PHASES))
        self.count = 0
        self.excess = 0.0
        self.phases = np.zeros(len(PHASES))
        self.limit = float("nan")
        self.kept: list[tuple[int, float, float]] = []  # step, seconds since the run began, duration

    def add(
        self, time: float, numbers: npt.NDArray[np.int64], steps: Floats, phases: Floats, all_steps: Histogram
    ) -> None:
        """Steps with their numbers and phases [n, phases]; ``all_steps`` has them already."""
        if self._parameters is None or not len(steps):
            return
        self._n += len(steps)
        self._sum += float(steps.sum())
        self._squares += float((steps**2).sum())
        self._usual += phases.sum(axis=0)
        self._waiting.append((time, numbers, steps, phases))
        if self._n < ENOUGH:
            return
        median = all_steps.quantile("step", 0.5)
        self.limit = self._limit(median, all_steps)
        for moment, places, seconds, parts in self._waiting:
            far = seconds > self.limit
            if not far.any():
                continue
            self.count += int(far.sum())
            self.excess += float((seconds[far] - median).sum())
            beyond = parts[far] - self._usual / self._n
            self.phases += np.clip(beyond, 0, None).sum(axis=0)
            fresh = zip(places[far].tolist(), seconds[far].tolist(), strict=True)
            self.kept += [(place, round(moment, 1), round(each, 6)) for place, each in fresh]
        self.kept = self.kept[:_KEPT]
        self._waiting = []

    def _limit(self, median: float, all_steps: Histogram) -> float:
        assert self._parameters is not None
        if (mad := self._parameters.get("mad")) is None:
            mean = self._sum / self._n
            spread = max(self._squares / self._n - mean**2, 0.0) ** 0.5
            return float(mean + self._parameters["stddev"] * spread)
        centres = np.sqrt(all_steps.edges[1:] * all_steps.edges[:-1])
        distance = np.abs(centres - median)
        order = np.argsort(distance)
        reached = np.cumsum(all_steps.counts("step")[order])
        deviation = distance[order][int(np.searchsorted(reached, reached[-1] / 2))]
        return float(max(median + mad * _SIGMA * deviation, 1.5 * median))

    def cause(self) -> str | None:
        """The phase in which outliers lost most, None where there are none."""
        lost = self.phases[list(STEP)]
        return PHASES[STEP[int(lost.argmax())]] if self.count and lost.any() else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "count": self.count, "excess": self.excess, "n": self._n, "sum": self._sum,
            "squares": self._squares, "usual": self._usual.tolist(), "phases": self.phases.tolist(),
            "limit": None if np.isnan(self.limit) else self.limit, "kept": self.kept,
        }  # fmt: skip

    def load(self, kept: Mapping[str, Any]) -> None:
        """Go on from what `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        self.count, self.excess, self._n = int(kept["count"]), float(kept["excess"]), int(kept["n"])
        self._sum, self._squares = float(kept["sum"]), float(kept["squares"])
        self._usual = np.array(kept["usual"], dtype=float)
        self.phases = np.array(kept["phases"], dtype=float)
        if not len(self.phases) == len(self._usual) == len(PHASES):
            raise ValueError("phases of another program")
        self.limit = float("nan") if kept["limit"] is None else float(kept["limit"])
        self.kept = [(int(step), float(time), float(seconds)) for step, time, seconds in kept["kept"]]

    @property
    def mean(self) -> float:
        """Seconds of a step; nan without steps."""
        return self._sum / self._n if self._n else float("nan")

    @property
    def spread(self) -> float:
        """Standard deviation of the steps, seconds; nan without steps."""
        if not self._n:
            return float("nan")
        return float(max(self._squares / self._n - self.mean**2, 0.0) ** 0.5)
