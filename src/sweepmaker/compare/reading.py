"""A run folder of this program read into a `Run`; whatever is wrong with it is said there, not raised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepmaker.compare import foreign
from sweepmaker.compare.run import Objective, Run, by_key
from sweepmaker.compare.series import Metrics
from sweepmaker.run import reader
from sweepmaker.run.disk import reason

_ERRORS = (ValueError, OSError, RecursionError, TypeError)


def read(folder: Path, *, curves: bool = False) -> Run:
    """The run in ``folder``, whoever wrote it and however whole it is.

    Args:
        folder: with a ``run.json``, a ``.hydra`` or a ``metrics.csv``, or with none of them.
        curves: keep the metrics' curves as well.
    """
    try:
        record = reader.read(folder)
    except _ERRORS as error:
        run = foreign.read(folder, curves=curves)
        run.state, run.problem = "broken", f"run.json: {reason(error)}"
        return run
    if record is None:
        return foreign.read(folder, curves=curves)
    run = Run(folder, state=str(record["state"]), record=record)
    run.lines = [str(line) for line in record.get("overrides") or []]
    run.overrides = by_key(run.lines)
    run.metrics = Metrics(curves)
    try:
        run.metrics.read_csv(folder / "metrics.csv")
    except FileNotFoundError:
        pass  # no epoch yet, or a trial that left none
    except _ERRORS as error:
        run.problem = f"metrics.csv: {reason(error)}"
    run.problem = run.problem or _failure(record)
    run.objective = _objective(record, run.metrics)
    _times(run, record.get("timing") or {})
    return run


def _failure(record: Mapping[str, Any]) -> str | None:
    failure = record.get("failure")
    if not isinstance(failure, Mapping) or record.get("state") not in ("failed", "interrupted"):
        return None
    message = str(failure.get("message") or "").strip().partition("\n")[0]
    return f"{failure.get('type')}: {message}"


def _objective(record: Mapping[str, Any], metrics: Metrics) -> Objective | None:
    """As run.json has it; while a run goes on, from its metrics."""
    given = record.get("objective")
    if not isinstance(given, Mapping) or not given.get("name"):
        return None
    name, mode = str(given["name"]), str(given.get("mode") or "max")
    value, epoch = number(given.get("value")), number(given.get("epoch"))
    series = metrics.get(name)
    if series is not None and value is None:
        value = series.best(mode)
    if series is not None and epoch is None and value == series.best(mode):
        epoch = series.best_epoch(mode)
    return Objective(name, mode, value, epoch)


def number(value: Any) -> float | None:
    """``value`` where it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _times(run: Run, timing: Mapping[str, Any]) -> None:
    start, end = _time(timing.get("start")), _time(timing.get("end"))
    if end is None and run.state != "running":
        end = _time(run.record.get("heartbeat"))
    run.start = start
    if start is not None:
        run.seconds = max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())


def _time(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.astimezone()
