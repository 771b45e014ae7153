"""What counts among the runs, in which order they stand, which is the best, what repeats say together."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from sweepmaker.compare.filters import as_number
from sweepmaker.compare.printing import printable
from sweepmaker.compare.run import Objective, Run
from sweepmaker.compare.series import lower_is_better
from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError


class NotYet(ConfigError):
    """What was asked for is not there; while runs go on it may come."""


@dataclass(frozen=True)
class Goal:
    """The metric that runs are compared by."""

    name: str
    mode: str


def goal(runs: Sequence[Run], metric: str | None, mode: str | None) -> Goal | None:
    """The goal asked for, else what most runs were judged by; None where no run was judged at all.

    Raises:
        ConfigError: no run has the metric that was asked for.
    """
    if metric is None:
        counts = Counter((run.objective.name, run.objective.mode) for run in runs if run.objective)
        return Goal(*counts.most_common(1)[0][0]) if counts else None
    own = Counter(run.objective.mode for run in runs if run.objective and run.objective.name == metric)
    if not own and not any(metric in run.metrics for run in runs):
        names = sorted({name for run in runs for name in run.metrics})
        near = get_close_matches(metric, names, n=1)
        raise NotYet(
            f"no run has logged {metric}",
            key="metric",
            allowed=printable(", ".join(names)) or "(nothing was logged)",
            fix=argv.word("metric", printable(near[0])) if near else None,
        )
    default = own.most_common(1)[0][0] if own else ("min" if lower_is_better(metric) else "max")
    return Goal(metric, mode or default)


def judged(runs: Sequence[Run], by: Goal | None) -> list[Run]:
    """The runs with the goal as their objective, best first; those without a value after them."""
    return sorted((_judged(run, by) for run in runs), key=lambda run: _place(run, by))


def _judged(run: Run, by: Goal | None) -> Run:
    own = run.objective
    if by is None or (own is not None and (own.name, own.mode) == (by.name, by.mode)):
        return run
    series = run.metrics.get(by.name)
    if series is None:
        return replace(run, objective=None)
    found = Objective(by.name, by.mode, series.best(by.mode), series.best_epoch(by.mode))
    return replace(run, objective=found)


def _place(run: Run, by: Goal | None) -> tuple[bool, bool, float, float, str]:
    value = math.inf if run.value is None else run.value
    sign = -1 if by is not None and by.mode == "max" else 1
    # of equals the first, as SageMaker has it
    return run.value is None, not run.counts, sign * value, _begun(run), str(run.folder)


def _begun(run: Run) -> float:
    return run.start.timestamp() if run.start else math.inf


def best(runs: Sequence[Run]) -> Run | None:
    """Of `judged` runs the best that may count; None where none has a value."""
    return next((run for run in runs if run.value is not None and run.counts), None)


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone.

    Attributes:
        overrides: what they have in common, by key.
        runs: at least two.
        mean, std: of their objectives; std with n - 1 in the denominator.
    """

    overrides: dict[str, str]
    runs: tuple[Run, ...]
    mean: float
    std: float

    @property
    def n(self) -> int:
        return len(self.runs)


def groups(
    runs: Sequence[Run], settings: Sequence[Mapping[str, str | None]], repeats: Sequence[str], by: Goal | None
) -> list[Group]:
    """Every group of at least two runs that are over and have a value, best mean first.

    Args:
        runs: all of them.
        settings: of each run all that is known of how it was made; a run of which nothing is, is like
            no other one.
        repeats: keys that do not tell runs apart; of those that are equal in them too the first counts.
        by: the goal.
    """
    together: dict[frozenset[tuple[str, str | None]], dict[object, Run]] = {}
    for run, own in zip(runs, settings, strict=True):
        if run.value is None or run.state not in ("completed", "stopped", "unknown") or not own:
            continue
        known = {key: None if text is None else same(text) for key, text in own.items()}
        rest = frozenset((key, text) for key, text in known.items() if key not in repeats)
        repeat = tuple(known.get(key) for key in repeats)
        # without a seed each run has one of its own
        own_repeat: object = run.folder if {None, "null"} & set(repeat) else repeat
        before = together.setdefault(rest, {}).setdefault(own_repeat, run)
        if before is not run and _begun(run) < _begun(before):
            together[rest][own_repeat] = run
    found = []
    for repeated in together.values():
        members = list(repeated.values())
        if len(members) > 1:
            common = {key: text for key, text in members[0].overrides.items() if key not in repeats}
            reached = [run.value for run in members if run.value is not None]
            try:
                mean, std = statistics.fmean(reached), statistics.stdev(reached)
            except OverflowError:  # of values near the largest that there are
                mean, std = max(reached), math.inf
            found.append(Group(common, tuple(members), mean, std))
    return sorted(found, key=lambda group: group.mean, reverse=by is not None and by.mode == "max")


def same(text: str) -> str:
    """Equal for texts of the same value: 1e-3 and 0.001, False and false."""
    number = as_number(text)
    if number is not None:
        return repr(number)
    return text.lower() if text.lower() in ("true", "false", "null") else text
