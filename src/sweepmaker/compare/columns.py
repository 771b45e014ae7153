"""What stands in a row: only the overrides that differ, then results, then how the run was made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sweepmaker.compare import configs
from sweepmaker.compare.filters import effective, unquoted
from sweepmaker.compare.ranking import Goal, Group, best, groups, same
from sweepmaker.compare.run import Run
from sweepmaker.compare.series import lower_is_better


@dataclass(frozen=True)
class Comparison:
    """Runs in their order, and all that tables and pages say of them.

    Attributes:
        runs: best first.
        goal: what they are compared by; None where nothing was judged.
        differing: keys of overrides that are not the same in all.
        repeats: keys that do not tell runs apart.
        others: metric and mode that runs were judged by themselves where that is not the goal, with
            the number of runs.
    """

    runs: Sequence[Run]
    goal: Goal | None
    differing: tuple[str, ...]
    repeats: tuple[str, ...]
    others: Mapping[tuple[str, str], int] = field(default_factory=dict)
    _values: dict[Path, dict[str, str | None]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def best(self) -> Run | None:
        return best(self.runs)

    @cached_property
    def metrics(self) -> list[str]:
        """Every metric that some run has, in the order in which they first come."""
        return list(dict.fromkeys(name for run in self.runs for name in run.metrics))

    def values(self, run: Run) -> dict[str, str | None]:
        """Of each override that differs: what it was in ``run``."""
        known = self._values.get(run.folder)
        if known is None:
            known = self._values[run.folder] = {key: effective(run, key) for key in self.differing}
        return known

    @cached_property
    def groups(self) -> list[Group]:
        """Runs that differ in their repeats alone."""
        return groups(self.runs, [self._settings(run) for run in self.runs], self.repeats, self.goal)

    def _settings(self, run: Run) -> dict[str, str | None]:
        """All that is known of how a run was made: its config as it was written, and what differs."""
        try:
            config = configs.flat(configs.load(run.folder, configs.CONFIG))
        except (OSError, ValueError, RecursionError):
            config = {}
        known: dict[str, str | None] = {**config}
        if config or run.overrides:
            known |= self.values(run) | {key: effective(run, key) for key in self.repeats}
        return known

    @cached_property
    def further_columns(self) -> list[tuple[str, str]]:
        """Of `further` which figure: ``best`` and ``last``; what a run has once, as of the test, has one."""
        found = []
        for name in self.further:
            once = all(name not in run.metrics or run.metrics[name].count <= 1 for run in self.runs)
            found += [(name, what) for what in (("best",) if once else ("best", "last"))]
        return found

    @cached_property
    def further(self) -> list[str]:
        """Metrics worth a column of their own: the loss beside the objective, what the test split gave."""
        if self.goal is None:
            return []
        split, _, leaf = self.goal.name.rpartition("/")
        wanted = (f"{split}/loss" if split else "loss", f"test/{leaf}")
        return [name for name in wanted if name in self.metrics and name != self.goal.name]


def differing(runs: Iterable[Run]) -> tuple[str, ...]:
    """Keys of overrides that are not the same in all runs, in the order of the command lines."""
    runs = [run for run in runs if run.state != "broken" or run.overrides]
    keys = dict.fromkeys(key for run in runs for key in run.overrides)
    return tuple(
        key
        for key in keys
        if len({same(value) if (value := effective(run, key)) is not None else None for run in runs}) > 1
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything with every digit: ``runs`` best first, ``best``, and ``groups`` of repeats."""
    chosen = comparison.best
    return {
        "runs": [run_as_json(run) for run in comparison.runs],
        "best": None if chosen is None else run_as_json(chosen),
        "groups": [
            {"overrides": {key: unquoted(text) for key, text in group.overrides.items()}, "n": group.n,
             "mean": group.mean, "std": group.std, "runs": [str(run.folder) for run in group.runs]}
            for group in comparison.groups
        ],
    }  # fmt: skip


def run_as_json(run: Run) -> dict[str, Any]:
    """One run; ``best`` of a metric goes by its direction: the objective's, else what its name says."""
    goal = run.objective
    return {
        "folder": str(run.folder),
        "state": run.state,
        "problem": run.problem,
        "overrides": {key: unquoted(text) for key, text in run.overrides.items()},
        "command_line": run.lines,
        "objective": None
        if goal is None
        else {"name": goal.name, "mode": goal.mode, "value": goal.value, "epoch": goal.epoch},
        "metrics": {
            name: {"best": series.best(direction(run, name)), "last": series.last, "min": series.low,
                   "max": series.high, "count": series.count, "not_finite": series.broken}
            for name, series in run.metrics.items()
        },
        "start": None if run.start is None else run.start.isoformat(),
        "seconds": run.seconds,
        "images_per_second": run.images_per_second,
        "findings": run.findings,
        "weights": run.weights,
        "unreadable": run.metrics.unreadable,
        "commit": run.commit,
        "dirty": run.dirty if run.commit else None,
        "seed": run.record.get("seed"),
        "job": run.record.get("job"),
    }  # fmt: skip


def direction(run: Run, name: str) -> str:
    """``max`` or ``min`` of a metric of ``run``."""
    if run.objective is not None and name.removesuffix("_best") == run.objective.name:
        return run.objective.mode
    return "min" if lower_is_better(name) else "max"
