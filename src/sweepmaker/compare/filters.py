"""Which of the runs are compared: by overrides, experiment, state, date and commit."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sweepmaker.compare import configs, times
from sweepmaker.compare.run import Run
from sweepmaker.compare.settings import Options
from sweepmaker.config.errors import ConfigError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "!=": operator.ne, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_CONDITION = re.compile(r"\s*(<=|>=|!=|<|>)\s*(.*?)\s*", re.DOTALL)


def keep(runs: Iterable[Run], options: Options) -> list[Run]:
    """The runs that pass every filter of ``options``.

    Raises:
        ConfigError: an order is asked for of what is no number.
    """
    conditions = {key: _conditions(key, value) for key, value in options.overrides.items()}
    since = None if options.since is None else times.moment(options.since)
    until = None if options.until is None else times.end(options.until)
    kept = []
    for run in runs:
        if options.state and run.state not in options.state:
            continue
        if options.experiment and run.overrides.get("experiment") not in options.experiment:
            continue
        if options.commit and not (run.commit or "").startswith(options.commit):
            continue
        if since is not None and (run.start is None or run.start < since):
            continue
        if until is not None and (run.start is None or run.start >= until):
            continue
        if all(any(test(effective(run, key)) for test in tests) for key, tests in conditions.items()):
            kept.append(run)
    return kept


def effective(run: Run, key: str) -> str | None:
    """What ``key`` was in a run: its override, or what its config has; None where neither knows it."""
    try:
        if key in run.overrides:
            return configs.resolved(run.folder, unquoted(run.overrides[key]))
        return configs.value(run.folder, key)
    except (OSError, ValueError, RecursionError):  # the page says what is wrong with a config
        return unquoted(run.overrides[key]) if key in run.overrides else None


def unquoted(text: str) -> str:
    """Hydra's text of a value without the quotes around it."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1].replace(f"\\{text[0]}", text[0])
    return text


def as_number(text: str | None) -> float | None:
    """The number that a value's text stands for; None where it is none."""
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if found == found and abs(found) != float("inf") else None


def _conditions(key: str, value: Any) -> list[Callable[[str | None], bool]]:
    several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if isinstance(value, Mapping):
        raise ConfigError("takes a value or a list of values, not keys below it", key=f"only.overrides.{key}")
    return [_condition(key, one) for one in several]


def _condition(key: str, value: Any) -> Callable[[str | None], bool]:
    found = _CONDITION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return lambda text: _same(text, value)
    sign, right = found.groups()
    if sign == "!=":
        return lambda text: not _same(text, right)
    bound = as_number(right)
    if bound is None:
        raise ConfigError(
            f"{value!r} is no bound", key=f"only.overrides.{key}", allowed="'<0.1', '>=16', '!=adamw'"
        )
    compare = _OPERATORS[sign]
    return lambda text: (number := as_number(text)) is not None and compare(number, bound)


def _same(text: str | None, value: Any) -> bool:
    if value is None:
        return text in (None, "null")
    if isinstance(value, bool):
        return (text or "").lower() == str(value).lower()
    if text == str(value):
        return True
    left, right = as_number(text), as_number(str(value))
    return left is not None and left == right
