"""When a trial is cut short: successive halving, and the median rule."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Iterator
from typing import Protocol

from launchers.embedded.search.spec import Spec

ETA = 3  # one of so many trials goes on from a rung
BEHIND = 2  # so many times as many ahead as go on, and a trial that went on is stopped after all
FEWEST_ENDED = 2  # trials that reached the epoch and ended, before there is a median to speak of


class Rule(Protocol):
    """Decides about running trials. Larger values are better ones here."""

    def stops(self, number: int, resource: int, value: float) -> bool:
        """Whether the trial is to be stopped now that it has come to ``resource``."""

    def ended(self, number: int, value: float | None) -> None:
        """The trial has ended; None: it failed."""


def rule(spec: Spec) -> Rule:
    """The rule of a tuning job."""
    if spec.strategy == "Hyperband":
        return Halving(spec.min_resource or 1, spec.max_resource)
    return Median() if spec.early_stopping else Never()


class Never:
    def stops(self, number: int, resource: int, value: float) -> bool:
        return False

    def ended(self, number: int, value: float | None) -> None:
        pass


class Halving:
    """Asynchronous successive halving: at each rung only the best third so far goes on.

    The rungs are ``lowest``, three times that, nine times that, ... below ``highest``. Nobody waits
    for others: a trial is held against those that have been at the rung before it. Of equal ones, the
    earlier goes on. A trial whose reports skip a rung is judged at the highest one it has passed: what
    it was worth at the others, nobody knows.

    The first ones at a rung have few to beat, so they are looked at again at each report: one that
    twice as many are ahead of as may go on has only been early, and is stopped.

    Args:
        lowest: resource before which no trial is stopped.
        highest: resource that a trial gets at most; one that goes beyond it is stopped. None: no end.
    """

    def __init__(self, lowest: int, highest: int | None) -> None:
        self._lowest = lowest
        self._highest = highest
        self._rungs: dict[int, list[float]] = {}  # the values at each, in order
        self._at: dict[int, tuple[int, float]] = {}  # the highest rung of each trial, its value there

    def stops(self, number: int, resource: int, value: float) -> bool:
        if self._highest is not None and resource >= self._highest:
            return resource > self._highest
        rung = max(self._levels(resource), default=0)
        before, worth = self._at.get(number, (0, value))
        values = self._rungs.setdefault(rung, [])
        if rung > before:
            self._at[number] = rung, value
            ahead = len(values) - bisect.bisect_left(values, value)
            bisect.insort(values, value)
            return ahead >= self._going_on(values)
        ahead = len(values) - bisect.bisect_right(values, worth)
        return ahead >= BEHIND * self._going_on(values)

    def ended(self, number: int, value: float | None) -> None:
        self._at.pop(number, None)

    def _going_on(self, values: list[float]) -> int:
        return max(1, len(values) // ETA)

    def _levels(self, resource: int) -> Iterator[int]:
        level = self._lowest
        while level <= resource:
            yield level
            level *= ETA


class Median:
    """The service's rule (developer guide, "Stop Training Jobs Early"), epoch by epoch.

    A trial is stopped when its objective is worse than the median of the running averages that
    earlier trials had up to the same epoch. Earlier trials are those that have ended, cut short or
    not, and have come to that epoch. AWS does not say how many it waits for; we wait for two: the
    median of one is that one.
    """

    def __init__(self) -> None:
        self._curves: dict[int, Curve] = {}
        self._ended: list[Curve] = []

    def stops(self, number: int, resource: int, value: float) -> bool:
        self._curves.setdefault(number, Curve()).add(resource, value)
        averages = [curve.average(resource) for curve in self._ended if curve.covers(resource)]
        return len(averages) >= FEWEST_ENDED and value < statistics.median(averages)

    def ended(self, number: int, value: float | None) -> None:
        curve = self._curves.pop(number, None)
        if curve is not None and value is not None:
            self._ended.append(curve)


class Curve:
    """One trial's objective along its resource, and its running average."""

    def __init__(self) -> None:
        self._resources: list[int] = []
        self._sums: list[float] = []

    def add(self, resource: int, value: float) -> None:
        """The next value; ``resource`` is above the last one."""
        self._sums.append(value + (self._sums[-1] if self._sums else 0.0))
        self._resources.append(resource)

    def covers(self, resource: int) -> bool:
        """Whether it has values up to ``resource`` and has come that far."""
        return self._resources[0] <= resource <= self._resources[-1]

    def average(self, resource: int) -> float:
        """Of all values up to a ``resource`` that it covers."""
        count = bisect.bisect_right(self._resources, resource)
        return self._sums[count - 1] / count
