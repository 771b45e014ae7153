"""Run folders of other Hydra programs: what ``.hydra/`` and their loggers' files tell.

The layout is lightning-hydra-template's: ``.hydra/`` beside ``csv/version_0/metrics.csv`` and
``tensorboard/version_0/events.out.tfevents.*``; a ``metrics.csv`` in the folder itself counts first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepmaker.compare import configs, events
from sweepmaker.compare.run import Objective, Run, by_key
from sweepmaker.compare.series import Metrics, lower_is_better
from sweepmaker.config.errors import UserError
from sweepmaker.run.disk import reason

_ERRORS = (ValueError, OSError, RecursionError, TypeError)
_TABLES = ("metrics.csv", "*/metrics.csv", "*/version_*/metrics.csv", "*/*/version_*/metrics.csv")
_EVENTS = tuple(f"{folder}events.out.tfevents.*" for folder in ("", "*/", "*/version_*/", "*/*/version_*/"))


def read(folder: Path, *, curves: bool = False) -> Run:
    """What can be told of ``folder``, which has no run.json that can be read."""
    run = Run(folder, metrics=Metrics(curves))
    problems: list[str] = []
    try:
        run.lines = configs.overrides(folder)
    except _ERRORS as error:
        problems.append(reason(error))
    run.overrides = by_key(run.lines)
    source = None
    try:
        source = _metrics(folder, run.metrics)
    except UserError as error:
        problems.append(f"{error.message}: {error.fix}")
    except _ERRORS as error:
        problems.append(f"metrics: {reason(error)}")
    try:
        run.objective = _objective(folder, run.metrics)
    except _ERRORS as error:
        problems.append(reason(error))
    if not (folder / ".hydra").is_dir() and source is None:
        run.state = "broken"
        problems.append("it has no run.json, no .hydra and no metrics")
    run.problem = "; ".join(problems) or None
    _times(run, source)
    return run


def _metrics(folder: Path, metrics: Metrics) -> Path | None:
    """Read the first kind of log that there is; the file, or None."""
    table = _latest(folder, _TABLES)
    if table is not None:
        metrics.read_csv(table)
        return table
    log = _latest(folder, _EVENTS)
    if log is not None:
        events.read(log.parent, metrics)
    return log


def _latest(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    """Of the first pattern that matches, the file written last."""
    for pattern in patterns:
        found = [path for path in folder.glob(pattern) if path.is_file()]
        if found:
            return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)))
    return None


def _objective(folder: Path, metrics: Metrics) -> Objective | None:
    """What the config says that counts; else a metric that is logged with its best so far."""
    file = folder / ".hydra" / "config.yaml"
    name, mode = None, None
    node = configs.load(file, "objective").get("objective")
    if isinstance(node, dict):
        name, mode = node.get("name"), node.get("mode")
    else:
        for monitor, its_mode in _monitors(configs.load(file, "callbacks").get("callbacks")):
            name, mode = name or monitor, mode or its_mode
        name = configs.load(file, "optimized_metric").get("optimized_metric") or name
    if not name or "${" in name:
        name = next((one for one in metrics if one.endswith("_best")), None)
    if not name:
        return None
    base = name.removesuffix("_best")
    known = metrics.get(base) or metrics.get(name)
    mode = mode if mode in ("max", "min") else ("min" if lower_is_better(base) else "max")
    if known is None:
        return Objective(base, mode, None)
    return Objective(base, mode, known.best(mode), known.best_epoch(mode))


def _monitors(callbacks: Any) -> Iterator[tuple[str, str | None]]:
    """Metric and direction that callbacks watch, checkpoints first."""
    if not isinstance(callbacks, Mapping):
        return
    for key in sorted(callbacks, key=lambda key: "checkpoint" not in str(key)):
        node = callbacks[key]
        if isinstance(node, Mapping) and node.get("monitor"):
            yield str(node["monitor"]), node.get("mode")


def _times(run: Run, source: Path | None) -> None:
    """From the files' own times: Hydra writes its first, a logger its last."""
    try:
        first = (run.folder / ".hydra" / "overrides.yaml").stat().st_mtime
        run.start = datetime.fromtimestamp(first, UTC)
        if source is not None:
            run.seconds = max(0.0, source.stat().st_mtime - first)
    except OSError:
        return
