"""One hyperparameter's values: how they are drawn, given to Optuna, and written."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cached_property

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from launchers.embedded.search.spec import Range, Scale

AUTO_LOG = 100  # a positive range whose ends are this many times apart is searched by its logarithm
_WIDE = 1e150  # squares of distances, which Optuna takes, would overflow
_STEPS = 2**53 - 1  # of the unit interval with both ends


@dataclass(frozen=True)
class Axis:
    """A range, as its scale lays it out.

    Optuna sees the value itself, but for two scales: the reverse logarithmic one, where it sees
    ``1 - value``, and ranges too wide for its arithmetic, where it sees the unit interval.
    """

    range: Range

    @cached_property
    def scale(self) -> Scale:
        """The range's own scale; of ``auto``, what it comes to.

        AWS does not say what Auto chooses. Where a positive range goes over two powers of ten or
        more, a linear scale would hardly ever look at the lower one.
        """
        if self.range.scale != "auto":
            return self.range.scale
        low, high = self._bounds
        return "log" if low > 0 and high / low >= AUTO_LOG else "linear"

    @cached_property
    def distribution(self) -> BaseDistribution:
        """What Optuna searches."""
        if self.range.kind == "categorical":
            return CategoricalDistribution(self.range.values)
        low, high = self._bounds
        if self.range.kind == "integer":
            return IntDistribution(int(low), int(high), log=self.scale == "log")
        if self.scale == "reverse_log":
            return FloatDistribution(1 - high, 1 - low, log=True)
        if self._wide:
            return FloatDistribution(0.0, 1.0)
        return FloatDistribution(low, high, log=self.scale == "log")

    def text(self, seen: object) -> str:
        """The hyperparameter as it is sent, of what Optuna suggests."""
        if self.range.kind == "categorical":
            return str(seen)
        assert isinstance(seen, (int, float))
        if self.scale == "reverse_log":
            return self._written(1 - seen)
        return self._written(self._spread(seen) if self._wide else seen)

    def seen(self, text: str) -> str | int | float | None:
        """What Optuna sees of a hyperparameter that was sent; None where it is outside of the range."""
        if self.range.kind == "categorical":
            return text if text in self.range.values else None
        low, high = self._bounds
        try:
            value = int(text) if self.range.kind == "integer" else float(text)
        except ValueError:
            return None
        if not low <= value <= high:
            return None
        if self.scale == "reverse_log":
            return 1 - value
        return (value / 2 - low / 2) / (high / 2 - low / 2) if self._wide else value

    def draw(self, source: random.Random) -> str:
        """A value at random, even on the scale; both bounds can come."""
        if self.range.kind == "categorical":
            return source.choice(self.range.values)
        low, high = self._bounds
        if self.range.kind == "integer" and self.scale == "linear":
            return str(source.randint(int(low), int(high)))
        unit = source.randint(0, _STEPS) / _STEPS
        if self.scale == "reverse_log":
            return self._written(1 - _between(1 - low, 1 - high, unit))
        if self.scale == "log" and self.range.kind == "integer":  # each number has its half to both sides
            return self._written(_between(low - 0.5, high + 0.5, unit))
        return self._written(_between(low, high, unit) if self.scale == "log" else self._spread(unit))

    @property
    def _bounds(self) -> tuple[float, float]:
        assert self.range.low is not None and self.range.high is not None, self.range
        return self.range.low, self.range.high

    @property
    def _wide(self) -> bool:
        low, high = self._bounds
        return self.range.kind == "continuous" and self.scale == "linear" and max(-low, high) > _WIDE

    def _spread(self, unit: float) -> float:
        low, high = self._bounds
        return low * (1 - unit) + high * unit

    def _written(self, value: float) -> str:
        """Rounding can lead past a bound by the last digit; never outside."""
        low, high = self._bounds
        if self.range.kind == "integer":
            return str(min(max(round(value), int(low)), int(high)))
        return repr(float(min(max(value, low), high)))


def _between(low: float, high: float, unit: float) -> float:
    """Even in the logarithm."""
    return math.exp(math.log(low) * (1 - unit) + math.log(high) * unit)
