"""The ranges that a tuning job searches: names, numbers, scales.

Sources: ParameterRanges, IntegerParameterRange, ContinuousParameterRange and CategoricalParameterRange,
API reference; SageMaker developer guide, "Define Hyperparameter Ranges" (scaling).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from launchers.limits.at import At, Violation
from launchers.limits.job import twice
from launchers.limits.shown import shown

KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
OWN_NAME = "_tuning_objective_metric"  # the service adds this hyperparameter to every training job
MOST_SEARCHED = 30  # quotas: hyperparameters that can be searched
_LONGEST = 256  # characters of a bound
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def searched(ranges: At) -> list[At]:
    """All ranges of the three kinds."""
    return [one for kind in KINDS for one in ranges[kind].items()]


def combinations(ranges: At) -> int | None:
    """How many different points there are; None where a range is continuous, or where they cannot be told."""
    if ranges["ContinuousParameterRanges"].items() or not 0 < len(searched(ranges)) <= MOST_SEARCHED:
        return None
    points = choices(ranges)
    for one in ranges["IntegerParameterRanges"].items():
        low, high = one["MinValue"], one["MaxValue"]
        if not (_whole(low) and _whole(high)) or int(high.text) < int(low.text):
            return None
        points *= int(high.text) - int(low.text) + 1
    return points


def choices(ranges: At) -> int:
    """The product of the categorical ranges' numbers of values."""
    categorical = ranges["CategoricalParameterRanges"].items()[:MOST_SEARCHED]
    return math.prod(max(1, len(one["Values"].items())) for one in categorical)


def violations(ranges: At, static: At) -> Iterator[Violation]:
    """The rules about one definition's ranges, beside its static hyperparameters."""
    names = [one["Name"] for one in searched(ranges) + ranges["AutoParameters"].items()]
    yield from _names(names, static)
    for one in ranges["IntegerParameterRanges"].items():
        yield from _integers(one)
    for one in ranges["ContinuousParameterRanges"].items():
        yield from _continuous(one)
    for one in ranges["CategoricalParameterRanges"].items():
        yield from _categories(one)


def _names(names: list[At], static: At) -> Iterator[Violation]:
    yield from twice(names, "hyperparameter")
    fixed = {key.lower(): key for key, _ in static.entries()}
    for name in names:
        if name.value == "":
            yield name.bad("is empty", "the name of a hyperparameter")
        elif name.text.lower() in fixed:
            both = f"{shown(fixed[name.text.lower()])} is static and {shown(name.text)} is searched"
            yield name.bad(both, "either static or searched", "take it out of StaticHyperParameters")
        if name.text.startswith("sagemaker_") or name.text == OWN_NAME:
            yield name.bad(f"{shown(name.text)} belongs to the platform", "names of your own hyperparameters")


def _whole(bound: At) -> bool:
    return len(bound.text) <= _LONGEST and _WHOLE.fullmatch(bound.text) is not None


def _integers(one: At) -> Iterator[Violation]:
    """Bounds are whole and in order; logarithmic scales are for what is above 0."""
    low, high = one["MinValue"], one["MaxValue"]
    for bound in (low, high):
        if isinstance(bound.value, str) and not _whole(bound):
            yield bound.bad(f"{shown(bound.text)} is no whole number", "a whole number, written as text")
    if one["ScalingType"].text == "ReverseLogarithmic":
        yield one["ScalingType"].bad(
            "'ReverseLogarithmic' does not go with integers", "Auto | Linear | Logarithmic", "use Linear"
        )
    if _whole(low) and _whole(high):
        yield from _in_order(one, int(low.text), int(high.text))


def _continuous(one: At) -> Iterator[Violation]:
    """Bounds are finite numbers and in order; each scale has its own domain."""
    low, high = (_number(one[name]) for name in ("MinValue", "MaxValue"))
    for name, number in (("MinValue", low), ("MaxValue", high)):
        if isinstance(one[name].value, str) and number is None:
            yield one[name].bad(f"{shown(one[name].text)} is no finite number", "a number, written as text")
    if low is None or high is None:
        return
    yield from _in_order(one, low, high)
    if one["ScalingType"].text == "ReverseLogarithmic":
        allowed = "ReverseLogarithmic searches 0 <= x < 1"
        if low < 0:
            yield one["MinValue"].bad(f"{shown(one['MinValue'].text)} is below 0", allowed)
        if high >= 1:
            yield one["MaxValue"].bad(f"{shown(one['MaxValue'].text)} is not below 1", allowed)


def _number(bound: At) -> float | None:
    if len(bound.text) > _LONGEST or not _NUMBER.fullmatch(bound.text):
        return None
    number = float(bound.text)
    return number if math.isfinite(number) else None


def _in_order(one: At, low: float, high: float) -> Iterator[Violation]:
    name = shown(one["Name"].value)
    if low == high:
        yield one["MaxValue"].bad(
            f"the range of {name} holds nothing but {shown(one['MinValue'].text)}",
            "MinValue < MaxValue",
            "make it a static hyperparameter",
        )
    elif low > high:
        both = f"{shown(one['MaxValue'].text)} is below MinValue ({shown(one['MinValue'].text)})"
        yield one["MaxValue"].bad(both, "MinValue < MaxValue")
    if one["ScalingType"].text == "Logarithmic" and low <= 0:
        yield one["MinValue"].bad(
            f"{shown(one['MinValue'].text)} has no logarithm", "Logarithmic searches x > 0", "use Linear"
        )


def _categories(one: At) -> Iterator[Violation]:
    seen: set[str] = set()
    for value in one["Values"].items():
        if value.text in seen and isinstance(value.value, str):
            yield value.bad(f"{shown(value.text)} is there twice", "each value once")
        seen.add(value.text)
