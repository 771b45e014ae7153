"""When a tuning job is complete before it has run all its trials."""

from __future__ import annotations

from launchers.embedded.search.spec import Spec

IMPROVING = 0.01  # of the best objective before: less is no improvement (API reference)
CONVERGED = 10  # trials without an improvement, and half of all, that count as convergence


class Completion:
    """The completion criteria of a tuning job, over the trials in the order they ended.

    Failed trials count for nothing. A trial improves the tuning job if it is better than the best
    one before it by 1 % or more. AWS does not say how it detects convergence, but that it is a lack
    of such improvements; ours: the last 10 trials, and at least half of all, brought none.
    """

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._sign = 1 if spec.maximize else -1
        self._best: float | None = None  # larger is better
        self._count = 0
        self.without = 0
        """Trials since the last improvement."""
        self.converged = False
        self.reason: str | None = None

    def told(self, value: float) -> None:
        """A trial has ended with this objective."""
        better = self._sign * value
        self._count += 1
        improves = self._best is None or (
            better > self._best and better - self._best >= IMPROVING * abs(self._best)
        )
        self.without = 0 if improves else self.without + 1
        self._best = better if self._best is None else max(self._best, better)
        reason = self._reason(value)
        self.reason = self.reason or reason

    def _reason(self, value: float) -> str | None:
        spec = self._spec
        self.converged = self.without >= max(CONVERGED, self._count / 2)
        if spec.target is not None and self._sign * (value - spec.target) >= 0:
            return f"the objective reached its target: {value:g}, {spec.target:g} was asked for"
        if spec.not_improving is not None and self.without >= spec.not_improving:
            return f"the last {self.without} training jobs did not improve the objective by 1 %"
        if spec.on_convergence and self.converged:
            return (
                f"converged: no improvement by 1 % in the last {self.without} of {self._count} training jobs"
            )
        return None
