"""The comparison again and again while runs go on, until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sweepmaker.compare import reading, task
from sweepmaker.compare.columns import Comparison
from sweepmaker.compare.ranking import NotYet
from sweepmaker.compare.run import Run
from sweepmaker.compare.select import NoRuns
from sweepmaker.compare.settings import Options
from sweepmaker.config.errors import ConfigError

_FILES = ("run.json", "metrics.csv", "debugger/findings.json")  # that a `Run` is made of


def watch(options: Options, sleep: Callable[[float], None] = time.sleep) -> None:
    """Look every ``options.watch_s`` seconds; what has changed is written and shown.

    On a terminal the table stays in one place; elsewhere it is printed when it is another one.

    Args:
        options: of the comparison.
        sleep: waits; raises to end it, as the handler of Ctrl-C does.

    Raises:
        ConfigError: a wrong option; what is not there yet (no run, no value of the metric) is waited for.
        UserError: the page cannot be written.
    """
    before: object = None
    waiting = ""
    last: Comparison | None = None
    read = _Reader()
    try:
        while True:
            try:
                comparison = task.compare(options, quiet=last is not None or bool(waiting), read=read)
                now = _standing(comparison)
                if now != before:
                    task.write_page(comparison, options, quiet=last is not None)
                    before, last, waiting = now, comparison, ""
                    _show(comparison, options)
            except ConfigError as error:
                if last is None and not isinstance(error, NotYet | NoRuns):
                    raise
                if error.message != waiting:
                    print(f"waiting: {error.message}", file=sys.stderr, flush=True)
                waiting = error.message
            sleep(options.watch_s)
    finally:
        if last is not None:  # a page that no longer loads itself anew
            task.write_page(last, replace(options, watch=False), quiet=True)


class _Reader:
    """Reads a run again only when its files are others: of a thousand runs most are over."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, Run]] = {}

    def __call__(self, folder: Path, *, curves: bool) -> Run:
        stamp = tuple(map(_stamp, (folder / name for name in _FILES)))
        known = self._known.get(folder)
        if known is not None and known[0] == stamp:
            return known[1]
        run = reading.read(folder, curves=curves)
        # whether one that runs is alive is asked anew, and where others' programs write is not known
        if run.record and run.state != "running":
            self._known[folder] = (stamp, run)
        return run


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _standing(comparison: Comparison) -> object:
    """What a reader would see change; the duration of what runs grows in any case."""
    return [
        (str(run.folder), run.state, run.value, run.metrics.rows, run.findings) for run in comparison.runs
    ]


def _show(comparison: Comparison, options: Options) -> None:
    if sys.stdout.isatty() and not options.best:
        sys.stdout.write("\x1b[H\x1b[2J")  # home, and clear
    task.show(comparison, options)
