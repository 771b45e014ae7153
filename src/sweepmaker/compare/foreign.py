"""Run folders of other Hydra programs: what ``.hydra/`` and their loggers' files tell.

The layout is lightning-hydra-template's: ``.hydra/`` beside ``csv/version_0/metrics.csv`` and
``tensorboard/version_0/events.out.tfevents.*``; a ``metrics.csv`` in the folder itself counts first.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepmaker.compare import configs, events
from sweepmaker.compare.parts import attempt, say
from sweepmaker.compare.run import Objective, Run, by_key
from sweepmaker.compare.series import Metrics, lower_is_better
from sweepmaker.config.errors import UserError

_TABLES = ("metrics.csv", "*/metrics.csv", "*/version_*/metrics.csv", "*/*/version_*/metrics.csv")
_EVENTS = tuple(f"{folder}events.out.tfevents.*" for folder in ("", "*/", "*/version_*/", "*/*/version_*/"))


def read(folder: Path, *, curves: bool = False) -> Run:
    """What can be told of ``folder``, which has no run.json that can be read."""
    run = Run(folder, metrics=Metrics(curves))
    run.lines = attempt(run, "overrides", lambda: configs.overrides(folder), [])
    run.overrides = by_key(run.lines)
    source = attempt(run, "logs", lambda: _latest(folder, _TABLES) or _latest(folder, _EVENTS), None)
    if source is not None:
        log = source
        attempt(run, "metrics", lambda: _metrics(folder, log, run.metrics), None)
    run.objective = attempt(run, "objective", lambda: _objective(folder, run.metrics), None)
    if source is None and not attempt(run, ".hydra", lambda: (folder / ".hydra").is_dir(), False):
        run.state = "broken"
        say(run, "it has no run.json, no .hydra and no metrics")
    attempt(run, "times", lambda: _times(run, source), None)
    return run


def _metrics(folder: Path, log: Path, metrics: Metrics) -> None:
    if log.suffix == ".csv":
        metrics.read_csv(folder, log.relative_to(folder).as_posix())
        return
    try:
        events.read(log.parent, metrics)
    except UserError as error:
        raise ValueError(f"{error.message}: {error.fix}") from error


def _latest(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    """Of the first pattern that matches, the file written last."""
    for pattern in patterns:
        # no link and no pipe: what is read is the folder's own
        found = [path for path in folder.glob(pattern) if stat.S_ISREG(path.lstat().st_mode)]
        if found:
            return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path)))
    return None


def _objective(folder: Path, metrics: Metrics) -> Objective | None:
    """What the config says that counts; else a metric that is logged with its best so far."""
    node = configs.load(folder, configs.CONFIG, "objective").get("objective")
    pairs = list(_monitors(configs.load(folder, configs.CONFIG, "callbacks").get("callbacks")))
    if isinstance(node, Mapping):
        pairs = [(node.get("name"), node.get("mode"))]
    optimized = configs.load(folder, configs.CONFIG, "optimized_metric").get("optimized_metric")
    named = [] if isinstance(node, Mapping) else [optimized]
    names = [_plain(folder, text) for text in (*named, *(name for name, _ in pairs))]
    name = next(filter(None, names), None) or next((one for one in metrics if one.endswith("_best")), None)
    if not name:
        return None
    base = name.removesuffix("_best")
    # a direction belongs to the metric it was written beside, never to another one
    modes = [mode for other, mode in pairs if (_plain(folder, other) or "").removesuffix("_best") == base]
    known = metrics.get(base) or metrics.get(name)
    mode = next((one for one in modes if one in ("max", "min")), None)
    mode = mode or ("min" if lower_is_better(base) else "max")
    if known is None:
        return Objective(base, mode, None)
    return Objective(base, mode, known.best(mode), known.best_epoch(mode))


def _plain(folder: Path, name: Any) -> str | None:
    """A metric's name, what it refers to looked up; None where that leads nowhere."""
    if not isinstance(name, str):
        return None
    name = configs.resolved(folder, name)
    return None if "${" in name or name == "null" else name


def _monitors(callbacks: Any) -> Iterator[tuple[Any, Any]]:
    """Metric and direction that callbacks watch, checkpoints first; Lightning's direction is min."""
    if not isinstance(callbacks, Mapping):
        return
    for key in sorted(callbacks, key=lambda key: "checkpoint" not in str(key)):
        node = callbacks[key]
        if isinstance(node, Mapping) and node.get("monitor"):
            yield node["monitor"], node.get("mode", "min")


def _times(run: Run, source: Path | None) -> None:
    """From the files' own times: Hydra writes its first, a logger its last."""
    overrides = run.folder / ".hydra" / "overrides.yaml"
    if not overrides.is_file():
        return
    first = overrides.stat().st_mtime
    run.start = datetime.fromtimestamp(first, UTC)
    if source is not None:
        run.seconds = max(0.0, source.stat().st_mtime - first)
