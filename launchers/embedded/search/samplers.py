"""Where suggestions come from: Optuna, chance, or a list."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from typing import Protocol

import optuna
from optuna.samplers import TPESampler
from optuna.trial import Trial, TrialState, create_trial

from launchers.embedded.search.axis import Axis
from launchers.embedded.search.spec import Earlier, Spec

_SEEDS = 2**32  # numpy's seeds are below
_DRAWS = 1000  # of points that were there before, one after the other


class Sampler(Protocol):
    """Suggests hyperparameters, in order: the first call is trial 0's."""

    def suggest(self) -> dict[str, str] | None:
        """The next trial's, as the service sends them; None when there are no more."""

    def told(self, number: int, value: float | None, cut_at: int | None) -> None:
        """A trial has ended; ``cut_at`` is the resource at which it was cut short."""


def sampler(spec: Spec, earlier: Sequence[Earlier]) -> Sampler:
    """The sampler of a strategy."""
    if spec.strategy == "Grid":
        return Grid(spec)
    return Tpe(spec, earlier) if spec.strategy == "Bayesian" else Chance(spec)


class Grid:
    """Every combination, once, in the order of the request; the last range changes fastest."""

    def __init__(self, spec: Spec) -> None:
        assert all(one.kind == "categorical" for one in spec.ranges), spec.ranges
        self._names = [one.name for one in spec.ranges]
        self._left = itertools.product(*(one.values for one in spec.ranges))

    def suggest(self) -> dict[str, str] | None:
        values = next(self._left, None)
        return None if values is None else dict(zip(self._names, values, strict=True))

    def told(self, number: int, value: float | None, cut_at: int | None) -> None:
        pass


class Chance:
    """Independent draws; what is told changes nothing.

    Where the ranges hold so many points only, none comes twice before each has come once.
    """

    def __init__(self, spec: Spec) -> None:
        self._axes = [Axis(one) for one in spec.ranges]
        self._source = random.Random(spec.seed)
        self._points = _product(axis.count for axis in self._axes)
        self._had: set[tuple[str, ...]] = set()

    def suggest(self) -> dict[str, str]:
        values = self._drawn()
        if self._points is not None:
            if len(self._had) == self._points:
                self._had.clear()
            for _ in range(_DRAWS):
                if values not in self._had:
                    break
                values = self._drawn()
            else:  # what is left is too improbable to wait for
                every = itertools.product(*(axis.every() for axis in self._axes))
                values = next(point for point in every if point not in self._had)
            self._had.add(values)
        return {axis.range.name: value for axis, value in zip(self._axes, values, strict=True)}

    def told(self, number: int, value: float | None, cut_at: int | None) -> None:
        pass

    def _drawn(self) -> tuple[str, ...]:
        return tuple(axis.draw(self._source) for axis in self._axes)


def _product(counts: Iterable[int | None]) -> int | None:
    product = 1
    for count in counts:
        if count is None:
            return None
        product *= count
    return product


class Tpe:
    """Optuna's tree-structured Parzen estimator, with Optuna's own settings."""

    def __init__(self, spec: Spec, earlier: Sequence[Earlier]) -> None:
        self._axes = {one.name: Axis(one) for one in spec.ranges}
        self._distributions = {name: axis.distribution for name, axis in self._axes.items()}
        self._study = quiet_study(
            TPESampler(seed=None if spec.seed is None else spec.seed % _SEEDS), maximize=spec.maximize
        )
        self._trials: list[Trial] = []
        for one in earlier:
            self._learn(one)

    def suggest(self) -> dict[str, str]:
        trial = self._study.ask(self._distributions)
        self._trials.append(trial)
        return {name: axis.text(trial.params[name]) for name, axis in self._axes.items()}

    def told(self, number: int, value: float | None, cut_at: int | None) -> None:
        trial = self._trials[number]
        if value is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif cut_at is None:
            self._study.tell(trial, value)
        else:  # it counts for less than one that went on to the end
            trial.report(value, cut_at)
            self._study.tell(trial, state=TrialState.PRUNED)

    def _learn(self, one: Earlier) -> None:
        """Take in a trial of an earlier tuning job, where it is a point of this one's ranges."""
        if one.parameters.keys() != self._axes.keys() or not math.isfinite(one.value):
            return
        seen = {name: axis.seen(one.parameters[name]) for name, axis in self._axes.items()}
        if None not in seen.values():
            found = create_trial(params=seen, distributions=self._distributions, value=one.value)
            self._study.add_trial(found)


def quiet_study(using: TPESampler, *, maximize: bool) -> optuna.Study:
    """A study in memory that writes no log lines of its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=using, direction="maximize" if maximize else "minimize")
