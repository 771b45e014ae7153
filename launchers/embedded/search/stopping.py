"""When a trial is cut short: successive halving, and the median rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Protocol

from launchers.embedded.search.spec import Spec

ETA = 3  # one of so many trials goes on from a rung
FEWEST_ENDED = 3  # trials that reached the epoch and ended, before the median says anything


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
    for others: a trial is held against those that have been at the rung before it, so the first ones
    get further than they would later. A trial whose reports skip a rung is judged at the highest one
    it has passed: what it was worth at the others, nobody knows.

    Args:
        lowest: resource before which no trial is stopped.
        highest: resource that a trial gets at most; one that goes beyond it is stopped. None: no end.
    """

    def __init__(self, lowest: int, highest: int | None) -> None:
        self._lowest = lowest
        self._highest = highest
        self._rungs: dict[int, list[float]] = {}
        self._at: dict[int, int] = {}  # the highest rung of each trial

    def stops(self, number: int, resource: int, value: float) -> bool:
        if self._highest is not None and resource >= self._highest:
            return resource > self._highest
        rung = max((rung for rung in self._levels(resource)), default=0)
        if rung <= self._at.get(number, 0):
            return False
        self._at[number] = rung
        values = self._rungs.setdefault(rung, [])
        values.append(value)
        go_on = max(1, len(values) // ETA)
        return sum(other > value for other in values) >= go_on

    def ended(self, number: int, value: float | None) -> None:
        pass

    def _levels(self, resource: int) -> Iterator[int]:
        level = self._lowest
        while level <= resource:
            yield level
            level *= ETA


class Median:
    """The service's rule (developer guide, "Stop Training Jobs Early"), epoch by epoch.

    A trial is stopped when its objective is worse than the median of the running averages that
    earlier trials had up to the same epoch. Earlier trials are those that have ended, cut short or
    not, and have come to that epoch. AWS does not say how many it waits for; we wait for three.
    """

    def __init__(self) -> None:
        self._curves: dict[int, dict[int, float]] = {}
        self._ended: set[int] = set()

    def stops(self, number: int, resource: int, value: float) -> bool:
        self._curves.setdefault(number, {})[resource] = value
        averages = [
            math.fsum(reached) / len(reached)
            for other in sorted(self._ended - {number})
            if max(curve := self._curves.get(other, {}), default=0) >= resource
            and (reached := [past for epoch, past in curve.items() if epoch <= resource])
        ]
        return len(averages) >= FEWEST_ENDED and value < statistics.median(averages)

    def ended(self, number: int, value: float | None) -> None:
        if value is not None:
            self._ended.add(number)
