"""One searched hyperparameter, and the ranges that Hydra's intervals become."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hydra.core.override_parser.types import IntervalSweep

from sweepmaker.config.errors import ConfigError

_SCALINGS = {"log": "Logarithmic", "reverse_log": "ReverseLogarithmic", "linear": "Linear", "auto": "Auto"}
_CUT = re.compile(r"interval\([^)]*?(\d*\.\d*[1-9]\d*)")


@dataclass(frozen=True)
class Range:
    """One searched hyperparameter.

    Attributes:
        name: Hydra's key as it was written, with ``+``, ``++`` and ``@package``.
        kind: ``Categorical``, ``Integer`` or ``Continuous``.
        values: every value as override text; empty for an interval.
        low, high: the bounds of a number, both included; empty for a categorical.
        scaling: ``Auto``, ``Linear``, ``Logarithmic`` or ``ReverseLogarithmic``.
    """

    name: str
    kind: str
    values: tuple[str, ...] = ()
    low: str = ""
    high: str = ""
    scaling: str = ""

    @property
    def samples(self) -> tuple[str, ...]:
        """Values to try the config with: all of them, or both ends."""
        return self.values or (self.low, self.high)

    def as_categorical(self) -> Range:
        """The same values, as Grid takes them."""
        return Range(self.name, "Categorical", self.values)


def interval(name: str, sweep: IntervalSweep, line: str) -> Range:
    """The range of an interval of Hydra's; ``line`` is the override as it was written.

    Raises:
        ConfigError: SageMaker has no such range.
    """
    low, high = sweep.start, sweep.end
    assert low is not None and high is not None
    if len(sweep.tags) > 1 or not sweep.tags <= _SCALINGS.keys():
        raise ConfigError(
            f"tag({', '.join(sorted(sweep.tags))}, ...) is not a scale",
            key=name,
            allowed="one of " + ", ".join(_SCALINGS),
            fix=f"{name}='tag(log,interval({low},{high}))'",
        )
    scaling = _SCALINGS[next(iter(sweep.tags))] if sweep.tags else "Linear"
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and (cut := _CUT.search(line)):
        raise ConfigError(
            f"int(...) cuts {cut[1]} off",
            key=name,
            fix="whole numbers as bounds, or interval(...) without int",
        )
    if not low < high:
        raise ConfigError(
            f"the interval from {low} to {high} is empty", key=name, fix="the lower bound first"
        )
    if scaling == "Logarithmic" and low <= 0:
        raise ConfigError(f"a logarithmic scale has no {low}", key=name, allowed="bounds above 0")
    if scaling == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
        raise ConfigError(
            f"a reverse logarithmic scale can't go from {low} to {high}",
            key=name,
            allowed="interval bounds from 0 to below 1, and no whole numbers",
        )
    return Range(name, "Integer" if whole else "Continuous", (), str(low), str(high), scaling)
