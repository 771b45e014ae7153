"""The search of one tuning job, as its conductor sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from launchers.embedded.search.completion import Completion
from launchers.embedded.search.samplers import sampler
from launchers.embedded.search.spec import Earlier, Spec
from launchers.embedded.search.stopping import rule


class Search:
    """Suggests trials, follows them, cuts short what does not look good, and sees when all is done.

    Args:
        spec: what is searched and how; without a seed the suggestions differ each time.
        earlier: trials of earlier tuning jobs; Bayesian search learns from those that fit the ranges.
    """

    def __init__(self, spec: Spec, earlier: Sequence[Earlier] = ()) -> None:
        self._spec = spec
        self._sign = 1 if spec.maximize else -1
        self._sampler = sampler(spec, earlier)
        self._rule = rule(spec)
        self._completion = Completion(spec)
        self._asked = 0
        self._last: dict[int, int] = {}  # the resource that each trial has come to
        self._cut: dict[int, int] = {}  # the resource at which a trial was to be stopped
        self._told: set[int] = set()

    def ask(self) -> tuple[int, dict[str, str]] | None:
        """A new trial: its number (0, 1, ...) and its hyperparameters as the service sends them.

        None when there is nothing left to try.
        """
        if self._asked >= self._spec.max_jobs:
            return None
        suggested = self._sampler.suggest()
        if suggested is None:
            return None
        self._asked += 1
        return self._asked - 1, suggested

    def report(self, number: int, resource: int, value: float) -> bool:
        """A running trial's objective at ``resource`` (1: its first); True: it is to be stopped now.

        What is to be stopped stays so, whatever it still reports. A resource that the trial was at
        before (it was interrupted and goes on), and values that are no numbers, change nothing.
        """
        self._known(number)
        if number in self._cut:
            return True
        if number in self._told or resource <= self._last.get(number, 0) or not math.isfinite(value):
            return False
        self._last[number] = resource
        if self._rule.stops(number, resource, self._sign * value):
            self._cut[number] = resource
            return True
        return False

    def tell(self, number: int, value: float | None) -> None:
        """A trial has ended with its last objective; None: it failed, or has none.

        A trial ends once: what is told after that changes nothing.
        """
        self._known(number)
        if number in self._told:
            return
        self._told.add(number)
        if value is not None and not math.isfinite(value):
            value = None
        self._sampler.told(number, value, self._cut.get(number))
        self._rule.ended(number, None if value is None else self._sign * value)
        if value is not None:
            self._completion.told(value)

    def ended(self) -> str | None:
        """Why the tuning job is complete before its last trial, in words; None: it goes on."""
        return self._completion.reason

    def _known(self, number: int) -> None:
        if not 0 <= number < self._asked:
            raise ValueError(f"there is no trial {number}: {self._asked} were asked for")

    @property
    def without_improvement(self) -> int:
        """Trials that have ended since the last one that improved the objective by 1 %."""
        return self._completion.without

    @property
    def converged(self) -> bool:
        """Whether there were enough of these for convergence."""
        return self._completion.converged
