"""Everything that the page shows, as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from sweepmaker.compare.columns import Comparison, direction
from sweepmaker.compare.filters import as_number
from sweepmaker.compare.page import details, differences
from sweepmaker.compare.page.arrays import Pool
from sweepmaker.compare.page.importance import importance
from sweepmaker.compare.page.space import log_keys, numbers
from sweepmaker.compare.parts import attempt
from sweepmaker.compare.run import Run

_CURVES_CHARACTERS = 5_000_000  # of all curves together; metrics beyond it are left out, and that is said


def collect(comparison: Comparison, page: Path) -> dict[str, Any]:
    """What the page in the folder ``page`` shows of ``comparison``."""
    runs = comparison.runs
    chosen = comparison.best
    values = [comparison.values(run) for run in runs]
    taken = {key: numbers(one[key] for one in values) for key in comparison.differing}
    log = log_keys(dict.fromkeys(run.folder.absolute().parent for run in runs), taken)
    pool = Pool()
    curves, left_out = _curves(comparison, pool)
    empty: dict[str, str] = {}
    environment = [attempt(run, "run.json", partial(differences.environment, run), empty) for run in runs]
    config = [attempt(run, "config", partial(differences.config, run), empty) for run in runs]
    confusion = None
    if chosen is not None:
        confusion = attempt(chosen, "confusion", partial(details.confusion, chosen), None)
    return {
        "title": f"{len(runs)} runs compared" if len(runs) > 1 else "1 run",
        "made": datetime.now().astimezone().isoformat(timespec="seconds"),
        "goal": None if comparison.goal is None else [comparison.goal.name, comparison.goal.mode],
        "keys": [
            {"name": key, "log": key in log, "numeric": _numeric(taken[key], values, key)}
            for key in comparison.differing
        ],
        "repeats": list(comparison.repeats),
        "best": None if chosen is None else list(runs).index(chosen),
        "metrics": comparison.metrics,
        "further": comparison.further_columns,
        "curve_metrics": [name for name in _ordered(comparison) if name not in left_out and name in curves],
        "left_out": left_out,
        "pool": pool.texts,
        "runs": [
            _run(run, one, page) | {"curves": {name: at[i] for name, at in curves.items() if at[i]}}
            for i, (run, one) in enumerate(zip(runs, values, strict=True))
        ],
        "groups": [
            {"values": comparison.values(group.runs[0]),
             "mean": group.mean, "std": group.std, "n": group.n}
            for group in comparison.groups
        ],
        "importance": _importance(comparison, values, log),
        "config": differences.compact(config),
        "environment": differences.compact(environment),
        "confusion": confusion,
    }  # fmt: skip


def _numeric(taken: Sequence[float | None], values: Sequence[dict[str, str | None]], key: str) -> bool:
    """Whether every value that there is is a number."""
    return all(number is not None or one[key] is None for number, one in zip(taken, values, strict=True))


def _run(run: Run, values: dict[str, str | None], page: Path) -> dict[str, Any]:
    shown = {}
    nothing: list[dict[str, Any]] = []
    no_links: list[dict[str, str]] = []
    for name, series in run.metrics.items():
        shown[name] = [series.best(direction(run, name)), series.last]
    return {
        "name": str(run.folder),
        "state": run.state,
        "line": run.lines,
        "values": values,
        "numbers": {key: number for key, text in values.items() if (number := as_number(text)) is not None},
        "value": run.value,
        "epoch": run.objective.epoch if run.objective else None,
        "metrics": shown,
        "not_finite": {name: series.broken for name, series in run.metrics.items() if series.broken},
        "unreadable": run.metrics.unreadable,
        "start": None if run.start is None else run.start.timestamp(),
        "seconds": run.seconds,
        "speed": run.images_per_second,
        "findings": run.findings,
        "found": attempt(run, "debugger/findings.json", partial(details.findings, run), nothing),
        "profile": attempt(run, "profiler/summary.json", partial(details.profile, run), None),
        "weights": run.weights,
        "commit": run.commit,
        "dirty": run.dirty,
        "pruned": run.state == "stopped",
        "links": attempt(run, "links", partial(details.links, run, page), no_links),
        "problem": run.problem,  # the last, as any of these may add to it
    }


def _ordered(comparison: Comparison) -> list[str]:
    """Metrics in the order in which people look at their curves."""
    goal = comparison.goal.name if comparison.goal else ""
    split, _, leaf = goal.rpartition("/")
    first = [goal, f"{split}/loss", "train/loss", f"train/{leaf}", "val/loss", "lr"]
    rest = [name for name in comparison.metrics if not name.endswith("_best")]
    return [name for name in dict.fromkeys([*first, *rest]) if name in comparison.metrics]


def _curves(comparison: Comparison, pool: Pool) -> tuple[dict[str, list[list[int] | None]], list[str]]:
    """Of each metric with more than one point somewhere, each run's curve as indexes into ``pool``."""
    found: dict[str, list[list[int] | None]] = {}
    left_out = []
    for name in _ordered(comparison):
        curves = [series.curve if (series := run.metrics.get(name)) else None for run in comparison.runs]
        if not any(curve is not None and len(curve.values) > 1 for curve in curves):
            continue
        if pool.size > _CURVES_CHARACTERS:
            left_out.append(name)
            continue
        found[name] = [
            None
            if curve is None or not len(curve.values)
            else [pool.add(curve.epochs), pool.add(curve.seconds), pool.add(curve.values), int(curve.thinned)]
            for curve in curves
        ]
    return found, left_out


def _importance(
    comparison: Comparison, values: Sequence[dict[str, str | None]], log: set[str]
) -> dict[str, Any]:
    keys = [key for key in comparison.differing if key not in comparison.repeats]
    params: list[dict[str, str | float]] = []
    objectives: list[float] = []
    for run, one in zip(comparison.runs, values, strict=True):
        if run.value is None or not run.counts:
            continue
        texts = {key: text or "(not there)" for key in keys for text in [one[key]]}  # a choice like another
        params.append(
            {key: text if (number := as_number(text)) is None else number for key, text in texts.items()}
        )
        objectives.append(run.value)
    mixed = {key for key in keys if len({type(one[key]) for one in params}) > 1}
    for one_run in params:
        one_run |= {key: str(one_run[key]) for key in mixed}
    mode = comparison.goal.mode if comparison.goal else "max"
    found = importance(params, objectives, mode, log)
    failed = sum(run.value is not None and not run.counts for run in comparison.runs)
    without = sum(run.value is None for run in comparison.runs)
    reasons = [f"{failed} failed or broken"] * (failed > 0) + [f"{without} without a value"] * (without > 0)
    return found | {"left_out": "left out: " + ", ".join(reasons) if reasons else None}
