"""One hyperparameter's values: how they are drawn, given to Optuna, and written."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from launchers.embedded.search.spec import Range, Scale

AUTO_LOG = 100  # a positive range whose ends are this many times apart is searched by its logarithm
_FLAT = 1e-9  # logarithms of two ends that are closer than this leave nothing to choose between them
_STEPS = 2**53 - 1  # of the unit interval with both ends
# Where Optuna's arithmetic breaks down: it squares distances, and takes integers for floats.
_WIDEST, _NARROWEST, _LARGEST_INTEGER = 1e150, 1e-150, 2**53


@dataclass(frozen=True)
class Axis:
    """A range, as its scale lays it out.

    Optuna sees the value itself, but for two scales: the reverse logarithmic one, where it sees
    ``1 - value``, and ranges beyond its arithmetic, where it sees the unit interval.
    """

    range: Range

    @cached_property
    def scale(self) -> Scale:
        """The range's own scale; of ``auto``, what it comes to.

        AWS does not say what Auto chooses. Where a positive range goes over two powers of ten or
        more, a linear scale would hardly ever look at the lower one.
        """
        if self.range.kind == "categorical":
            return "linear"
        low, high = self._bounds
        if self.range.scale == "auto":
            return "log" if low > 0 and high / low >= AUTO_LOG else "linear"
        if self.range.scale == "log":
            return "log" if math.log(high) - math.log(low) > _FLAT else "linear"
        if self.range.scale == "reverse_log":
            return "reverse_log" if math.log(1 - low) - math.log(1 - high) > _FLAT else "linear"
        return "linear"

    @cached_property
    def distribution(self) -> BaseDistribution:
        """What Optuna searches."""
        if self.range.kind == "categorical":
            return CategoricalDistribution(self.range.values)
        low, high = self._bounds
        if self._beyond:
            return FloatDistribution(0.0, 1.0)
        if self.range.kind == "integer":
            return IntDistribution(int(low), int(high), log=self.scale == "log")
        if self.scale == "reverse_log":
            return FloatDistribution(1 - high, 1 - low, log=True)
        return FloatDistribution(low, high, log=self.scale == "log")

    def text(self, seen: object) -> str:
        """The hyperparameter as it is sent, of what Optuna suggests."""
        if self.range.kind == "categorical":
            return str(seen)
        assert isinstance(seen, (int, float))
        if self._beyond:
            return self._written(self._at(seen))
        return self._written(1 - seen if self.scale == "reverse_log" else seen)

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
        if self._beyond:
            return self._unit(value)
        return 1 - value if self.scale == "reverse_log" else value

    def draw(self, source: random.Random) -> str:
        """A value at random, even on the scale; both bounds can come."""
        if self.range.kind == "categorical":
            return source.choice(self.range.values)
        low, high = self._bounds
        if self.range.kind == "integer" and self.scale == "linear":
            return str(source.randint(int(low), int(high)))
        return self._written(self._at(source.randint(0, _STEPS) / _STEPS))

    @property
    def count(self) -> int | None:
        """How many values there are; None where they are continuous."""
        if self.range.kind == "continuous":
            return None
        if self.range.kind == "categorical":
            return len(set(self.range.values))
        low, high = self._bounds
        return int(high) - int(low) + 1

    def every(self) -> Iterable[str]:
        """All values, where they are not continuous."""
        if self.range.kind == "categorical":
            return self.range.values
        low, high = self._bounds
        return map(str, range(int(low), int(high) + 1))

    @property
    def _bounds(self) -> tuple[float, float]:
        assert self.range.low is not None and self.range.high is not None, self.range
        return self.range.low, self.range.high

    @cached_property
    def _beyond(self) -> bool:
        low, high = self._bounds
        if self.range.kind == "integer":
            return max(-low, high) > _LARGEST_INTEGER
        return self.scale == "linear" and (max(-low, high) > _WIDEST or high - low < _NARROWEST)

    def _at(self, unit: float) -> float | Fraction:
        """The value at a place of the unit interval, which is even on the scale."""
        low, high = self._bounds
        if self.scale == "reverse_log":
            return 1 - _between(1 - low, 1 - high, unit)
        if self.scale == "log":
            half = self._half
            return _between(low - half, high + half, unit)
        if self.range.kind == "integer":  # of any size, and exactly
            return int(low) + Fraction(unit) * (int(high) - int(low))
        return low * (1 - unit) + high * unit

    def _unit(self, value: float) -> float:
        """The place of a value where Optuna sees the unit interval."""
        low, high = self._bounds
        if self.scale == "log":
            first, last = math.log(low - self._half), math.log(high + self._half)
            return min(max((math.log(value) - first) / (last - first), 0.0), 1.0)
        return float((Fraction(value) - Fraction(low)) / (Fraction(high) - Fraction(low)))

    @property
    def _half(self) -> float:
        """Each integer has its half to both sides."""
        return 0.5 if self.range.kind == "integer" else 0.0

    def _written(self, value: float | Fraction) -> str:
        """Rounding can lead past a bound by the last digit; never outside."""
        low, high = self._bounds
        if self.range.kind == "integer":
            return str(min(max(round(value), int(low)), int(high)))
        return repr(float(min(max(value, low), high)))


def _between(low: float, high: float, unit: float) -> float:
    """Even in the logarithm."""
    ends = math.log(low), math.log(high)
    return math.exp(min(ends[0] * (1 - unit) + ends[1] * unit, max(ends)))  # no further: it may overflow
