"""Rules for single values: each a test, and the words for what passes it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from sweepmaker.config.errors import ConfigError


@dataclass(frozen=True)
class Rule:
    """One key: a test of its value, the words for what passes, and of a part of the config the keys in it."""

    passes: Callable[[Any], bool]
    allowed: str
    keys: tuple[str, ...] = ()


def lacking(key: str, allowed: str) -> ConfigError:
    """What to tell of a preset of somebody's own that lacks ``key``."""
    fix = "`defaults: [sane, _self_]` in the preset's file, which then has only what differs"
    return ConfigError("is missing", key=key, allowed=allowed, fix=fix)


def refused(key: str, value: Any, rule: Rule, fix: str | None = None) -> ConfigError:
    """What to tell of a value that ``rule`` does not let pass: of a part of the config, which key."""
    unknown = [str(name) for name in value if name not in rule.keys] if isinstance(value, Mapping) else []
    if not unknown or not rule.keys:
        return ConfigError(f"{value!r} is not allowed", key=key, allowed=rule.allowed, fix=fix)
    near = get_close_matches(unknown[0], rule.keys, n=1)
    hint = f"; did you mean {key}.{near[0]}?" if near else ""
    return ConfigError(f"there is no such key{hint}", key=f"{key}.{unknown[0]}", allowed=", ".join(rule.keys))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def number(
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Rule:
    """A finite number within bounds: ``above`` and ``below`` are not included."""
    words = [
        f"{word} {bound:g}"
        for word, bound in (
            ("above", above),
            ("at least", least),
            ("below", below),
            ("at most", most),
        )
        if bound is not None
    ]

    def passes(value: Any) -> bool:
        return (
            _is_number(value)
            and (above is None or value > above)
            and (least is None or value >= least)
            and (below is None or value < below)
            and (most is None or value <= most)
        )

    return Rule(passes, "a number" + (" " + " and ".join(words) if words else ""))


def integer(least: int, most: int | None = None) -> Rule:
    """A whole number from ``least`` to ``most``."""

    def passes(value: Any) -> bool:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole and value >= least and (most is None or value <= most)

    return Rule(passes, f"a whole number from {least}" + (f" to {most}" if most is not None else ""))


def one_of(*values: Any) -> Rule:
    """One of a few values."""
    return Rule(lambda value: value in values, ", ".join(str(value) for value in values))


def either(*rules: Rule) -> Rule:
    """What any of the rules lets pass."""
    return Rule(
        lambda value: any(rule.passes(value) for rule in rules),
        ", or ".join(rule.allowed for rule in rules),
        tuple(key for rule in rules for key in rule.keys),
    )


BOOLEAN = Rule(lambda value: isinstance(value, bool), "true or false")
TEXT = Rule(lambda value: isinstance(value, str) and bool(value), "a text")
NOTHING = Rule(lambda value: value is None, "null")
AUTO = one_of("auto")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def several(rule: Rule, count: int | None = None) -> Rule:
    """A list whose every value passes ``rule``; of ``count`` values, or of at least one."""

    def passes(value: Any) -> bool:
        right = _is_list(value) and (len(value) == count if count else len(value) > 0)
        return right and all(rule.passes(each) for each in value)

    return Rule(
        passes,
        f"a list of {count} values" + f", each {rule.allowed}" if count else f"a list of {rule.allowed}",
    )


def matching(pattern: re.Pattern[str], allowed: str) -> Rule:
    """A text that ``pattern`` fits as a whole."""
    return Rule(lambda value: isinstance(value, str) and bool(pattern.fullmatch(value)), allowed)


def node(*keys: str) -> Rule:
    """A part of the config with keys below it: with these alone, where some are given."""

    def passes(value: Any) -> bool:
        return isinstance(value, Mapping) and (not keys or set(value) <= set(keys))

    return Rule(passes, f"the keys {', '.join(keys)}" if keys else "keys below it, not a value", keys)


def _is_range(value: Any) -> bool:
    pair = _is_list(value) and len(value) == 2 and all(map(_is_number, value))
    return pair and 0 < value[0] <= value[1] <= 1


def _is_stats(value: Any) -> bool:
    if not isinstance(value, Mapping) or set(value) != {"mean", "std"}:
        return False
    return RGB.passes(value["mean"]) and RGB.passes(value["std"]) and all(each > 0 for each in value["std"])


RGB = several(number(), 3)
RANGE = Rule(_is_range, "[low, high] with 0 < low <= high <= 1")
STATS = Rule(_is_stats, "{mean: [r, g, b], std: [r, g, b]} with std above 0")
# Lightning's: a float is a share, a whole number a count
SHARE = Rule(
    lambda value: (isinstance(value, float) and 0 <= value <= 1) or integer(0).passes(value),
    "a share (0.0 to 1.0, with a point) or a whole number of batches from 0",
)
