"""A run folder of this program read into a `Run`; whatever is wrong with it is said there, not raised."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepmaker.compare import foreign, parts, times
from sweepmaker.compare.run import Objective, Run, by_key, number
from sweepmaker.compare.series import Metrics
from sweepmaker.run import reader

_TAG = "sweepmaker:commit"


def read(folder: Path, *, curves: bool = False) -> Run:
    """The run in ``folder``, whoever wrote it and however whole it is; nothing in it makes this raise.

    Args:
        folder: with a ``run.json``, a ``.hydra`` or a ``metrics.csv``, or with none of them.
        curves: keep the metrics' curves as well.
    """
    try:
        record = reader.read(folder)
        run = foreign.read(folder, curves=curves) if record is None else _ours(folder, record, curves)
    except Exception as error:  # one odd folder must not keep the others from being compared
        run = foreign.read(folder, curves=curves)
        run.state = "broken"
        run.problem = "; ".join(filter(None, [f"run.json: {parts.said(error)}", run.problem]))
    if isinstance(run.record.get("job"), Mapping) and run.commit is None:
        run.launched = parts.attempt(run, "launch.json", lambda: _launched(folder.absolute().parent), None)
    run.rules = parts.attempt(run, "debugger/findings.json", lambda: parts.rules(folder), None)
    return run


def _ours(folder: Path, record: dict[str, Any], curves: bool) -> Run:
    run = Run(folder, state=str(record["state"]), record=record)
    run.lines = [str(line) for line in record.get("overrides") or []]
    run.overrides = by_key(run.lines)
    run.metrics = Metrics(curves)
    run.problem = _failure(record)
    parts.attempt(run, "metrics.csv", lambda: _table(folder, run.metrics), None)
    run.objective = _objective(record, run.metrics)
    _times(run, record.get("timing") or {})
    return run


def _table(folder: Path, metrics: Metrics) -> None:
    with contextlib.suppress(FileNotFoundError):  # no epoch yet, or a trial that left none
        metrics.read_csv(folder, "metrics.csv")


def _launched(sweep: Path) -> str | None:
    """The commit that a job carries as a tag; a trial has the code, and no history of it."""
    request = parts.document(sweep, "launch.json").get("request")
    tags = request.get("Tags") if isinstance(request, dict) else None
    named = {tag.get("Key"): tag.get("Value") for tag in tags or [] if isinstance(tag, dict)}
    commit = named.get(_TAG)
    return commit if isinstance(commit, str) else None


def _failure(record: Mapping[str, Any]) -> str | None:
    failure = record.get("failure")
    if not isinstance(failure, Mapping) or record.get("state") not in ("failed", "interrupted"):
        return None
    message = str(failure.get("message") or "").strip().partition("\n")[0]
    return f"{failure.get('type')}: {message}"


def _objective(record: Mapping[str, Any], metrics: Metrics) -> Objective | None:
    """As run.json has it; while a run goes on, from its metrics."""
    given = record.get("objective")
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str) or not given["name"]:
        return None
    name, mode = given["name"], "min" if given.get("mode") == "min" else "max"
    value, epoch = number(given.get("value")), number(given.get("epoch"))
    series = metrics.get(name)
    if series is not None and value is None:
        value = series.best(mode)
    if series is not None and epoch is None and value == series.best(mode):
        epoch = series.best_epoch(mode)
    return Objective(name, mode, value, epoch)


def _times(run: Run, timing: Mapping[str, Any]) -> None:
    # one that is continued has the end of the process before it until it ends itself
    start, end = _time(timing.get("start")), None if run.state == "running" else _time(timing.get("end"))
    if end is None and run.state != "running":
        end = _time(run.record.get("heartbeat"))
    run.start = start
    if start is not None:
        run.seconds = max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())


def _time(text: Any) -> datetime | None:
    try:
        return times.moment(text)
    except (TypeError, ValueError):
        return None
