"""From Hydra's sweep grammar to SageMaker's parameter ranges.

What one of the two says and the other cannot is refused here, with what to write instead. Ranges
keep Hydra's own text of each value, which a trial replays: it composes what ``train.py`` would.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    IntervalSweep,
    Override,
    RangeSweep,
    Transformer,
)

from launchers.jobs.ranges import Range, interval
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.schema import RULES

MOST_VALUES = 30  # of one categorical range (CreateHyperParameterTuningJob, CategoricalParameterRange)
LONGEST_VALUE = 256  # characters (the same)

# read by this project before there is a job, or the same for every trial of one
_NOT_SWEPT = {
    "where": "one sweep is one job in one account",
    "job": "one sweep is one job",
    "search": "the search space is the sweep itself",
    "dry_run": "it is about the launch",
    "stage": "it is about the launch",
    "action": "it is about the launch",
    "wait": "it is about the launch",
    "mlflow": "it is about the launch",
    "resume": "it is about the launch",
    "objective": "trials are compared by one objective",
    "data.root": "the data are one channel of the job",
    "data.cache_uri": "the data are one channel of the job",
    "ckpt_path": "it is a path on this machine",
    "paths": "a trial's folders are given by the container",
}


@dataclass(frozen=True)
class Space:
    """What is searched, what is fixed, and what was done on the way that the user should know."""

    ranges: tuple[Range, ...]
    static: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    places: tuple[int, ...] = ()  # of each range: the number of static lines before it

    @property
    def combinations(self) -> int | None:
        """How many there are; None where a range has no list of values."""
        product = 1
        for searched in self.ranges:
            product *= len(searched.values)
        return product or None

    def lines(self, chosen: Mapping[str, str]) -> list[str]:
        """The command line with one value for each swept key, in the order in which it was written."""
        lines = list(self.static)
        for one, place in reversed(list(zip(self.ranges, self.places, strict=True))):
            lines.insert(place, f"{one.name}={chosen[one.name]}")
        return lines


def is_group(name: str, config_loader: Any) -> bool:
    """Whether a key is a config group: ``model``, ``+experiment``, ``optimizer@other``."""
    return _has_options(_plain(name).partition("@")[0], config_loader)


@cache
def _has_options(group: str, config_loader: Any) -> bool:
    # the loader's own get_group_options opens all sources anew each time, 10 ms
    return bool(config_loader.repository.get_group_options(group, ObjectType.CONFIG))


def parse(arguments: Sequence[str], config_loader: Any, params: dict[str, Any] | None = None) -> Space:
    """The search space of a command line.

    Args:
        arguments: override lines, swept or not.
        config_loader: Hydra's, for ``glob`` and to tell groups from keys.
        params: ``hydra.sweeper.params``: keys and sweeps as text; a key on the command line wins.

    Raises:
        ConfigError: nothing is swept, or something that has no counterpart in SageMaker is.
        HydraException: a line is not in Hydra's grammar.
    """
    overrides = _overrides(arguments, config_loader, params or {})
    ranges: list[Range] = []
    static: list[str] = []
    fixed: list[Override] = []
    places: list[int] = []
    notes: list[str] = []
    for override in overrides:
        if not override.is_sweep_override():
            static.append(str(override.input_line))
            fixed.append(override)
            continue
        searched, note = _searched(override)
        notes += note
        if isinstance(searched, Range):
            ranges.append(searched)
            places.append(len(static))
        else:
            static.append(searched)
            fixed.append(override)
    if not ranges:
        raise ConfigError(
            "nothing is swept: every key has one value",
            allowed="lr=1e-3,3e-3   lr='tag(log,interval(1e-4,1e-1))'   batch_size='int(interval(8,64))'",
            fix="leave out -m for one training job, or give a key several values",
        )
    _no_overlap(fixed, ranges, config_loader)
    return Space(tuple(ranges), tuple(static), tuple(notes), tuple(places))


def whole_where_whole(space: Space) -> None:
    """Refuse ``interval(...)`` for a key that takes whole numbers: it draws any number between its ends.

    Raises:
        ConfigError: there is one; the line to write instead is in it.
    """
    for one in space.ranges:
        rule = RULES.get(_plain(one.name))
        if one.kind != "Continuous" or rule is None or rule.passes(float(one.low)):
            continue
        low, high = math.ceil(float(one.low)), math.floor(float(one.high))
        if low < high and rule.passes(low) and rule.passes(high):
            inner = f"int(interval({low},{high}))"
            text = f"tag(log,{inner})" if one.scaling == "Logarithmic" else inner
            raise ConfigError(
                "takes whole numbers, and interval(...) gives any number between",
                key=one.name,
                fix=f"{one.name}='{text}'",
            )


def _overrides(arguments: Sequence[str], config_loader: Any, params: dict[str, Any]) -> list[Override]:
    parser = OverridesParser.create(config_loader=config_loader)
    given = parser.parse_overrides(list(arguments))
    keys = {_plain(override.get_key_element()) for override in given}
    lines = [f"{key}={value}" for key, value in params.items() if _plain(str(key)) not in keys]
    return [*parser.parse_overrides(lines), *given]


def _searched(override: Override) -> tuple[Range | str, list[str]]:
    name = override.get_key_element()
    _may_be_swept(name, override)
    sweep: Any = override.value()
    if isinstance(sweep, IntervalSweep):
        return interval(name, sweep, str(override.input_line)), []
    if getattr(sweep, "tags", None):
        raise ConfigError(
            f"tag({', '.join(sorted(sweep.tags))}, ...) is about intervals; these are single values",
            key=name,
            fix="leave the tag out, or search an interval: tag(log,interval(1e-4,1e-1))",
        )
    notes = []
    if getattr(sweep, "shuffle", False):
        notes.append(f"{name}: shuffle has no meaning for a tuner; the values stay in the order written")
        override = replace(override, _value=replace(sweep, shuffle=False))
    values = _values(name, override)
    if len(values) == 1:
        return f"{name}={values[0]}", [*notes, f"{name} has one value, so it is not searched: {values[0]}"]
    if isinstance(sweep, RangeSweep) and _whole_steps(sweep):
        low, high = sorted((int(values[0]), int(values[-1])))
        kept = values if len(values) <= MOST_VALUES else ()
        return Range(name, "Integer", kept, str(low), str(high), "Linear"), notes
    if len(values) > MOST_VALUES:
        raise ConfigError(
            f"{len(values)} values are more than SageMaker takes",
            key=name,
            allowed=f"at most {MOST_VALUES} values",
            fix=f"{name}='int(interval({values[0]},{values[-1]}))' or interval(...), or fewer values"
            if isinstance(sweep, RangeSweep)
            else "fewer values, or options of a config group swept with glob(...)",
        )
    return Range(name, "Categorical", values), notes


def _may_be_swept(name: str, override: Override) -> None:
    plain = _plain(name)
    if override.is_delete():
        raise ConfigError(
            "a deletion can't be swept",
            key=name,
            fix=f"{name} without values, or sweep null: {plain}=null,...",
        )
    if override.is_hydra_override():
        raise ConfigError("Hydra's own settings can't be swept", key=name, allowed="keys of the config")
    if plain.startswith(("sagemaker_", "_tuning_objective_metric")):
        raise ConfigError("SageMaker uses names like this itself", key=name, fix="another name for the key")
    for key, reason in _NOT_SWEPT.items():
        if plain == key or plain.startswith((f"{key}.", f"{key}@")):
            raise ConfigError(f"can't be swept: {reason}", key=name, fix=f"{key}=<one value>")


def _values(name: str, override: Override) -> tuple[str, ...]:
    """Each value as text that Hydra reads back as the same value."""
    values: list[str] = []
    parser = OverridesParser.create()
    elements = list(override.sweep_iterator(transformer=Transformer.identity))
    for element in elements:
        text = Transformer.str(element)
        if "${" in text or "$\\{" in text:
            raise ConfigError(
                f"{text} refers to another key, which can't be one of several values",
                key=name,
                fix="give the values themselves, or put the reference into a config group and sweep that",
            )
        if len(text) > LONGEST_VALUE:
            raise ConfigError(
                f"a value has {len(text)} characters: {text[:40]}...",
                key=name,
                allowed=f"at most {LONGEST_VALUE} characters",
                fix="put it into a config group and sweep the group's options",
            )
        back = parser.parse_override(f"{name}={text}")
        if back.is_sweep_override() or repr(back.value()) != repr(Override._convert_value(element)):
            raise ConfigError(
                f"{text} does not come back from Hydra as it went in",
                key=name,
                fix="quote it, or put it into a config group and sweep the group's options",
            )
        values.append(text)
    if not values:
        raise ConfigError(
            "there are no values in it", key=name, fix="check the pattern or the bounds of the range"
        )
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is there twice", key=name, fix="leave one of them out")
    return tuple(values)


def _whole_steps(sweep: RangeSweep) -> bool:
    return abs(sweep.step or 1) == 1 and all(isinstance(edge, int) for edge in (sweep.start, sweep.stop))


def _no_overlap(fixed: Iterable[Override], ranges: Sequence[Range], config_loader: Any) -> None:
    """One key, one place: a trial applies swept keys last, the command line in its own order."""
    keys: dict[str, str] = {}
    for one in ranges:
        plain = _plain(one.name)
        if plain in keys:
            raise ConfigError("is swept twice", key=plain, fix="leave one of the two out")
        keys[plain] = one.name
    others = [(_plain(one.get_key_element()), str(one.input_line), one.key_or_group) for one in fixed]
    others += [(_plain(one.name), one.name, one.name) for one in ranges]
    for plain, line, group in others:
        if is_group(group, config_loader) and (plain not in keys or line in keys.values()):
            continue
        for key, written in keys.items():
            same = plain == key and line != written
            # options of a group are chosen first, whatever the order; then values are set
            inside = plain.startswith(f"{key}.") and not is_group(key, config_loader)
            if same or inside or key.startswith(f"{plain}."):
                raise ConfigError(
                    f"{line} sets what {written} sweeps", key=plain, fix="leave one of the two out"
                )


def _plain(name: str) -> str:
    return name.lstrip("+~")
