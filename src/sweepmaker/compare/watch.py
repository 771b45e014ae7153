"""The comparison again and again while runs go on, until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from sweepmaker.compare import task
from sweepmaker.compare.columns import Comparison
from sweepmaker.compare.settings import Options
from sweepmaker.config.errors import ConfigError


def watch(options: Options, sleep: Callable[[float], None] = time.sleep) -> None:
    """Look every ``options.watch_s`` seconds; what has changed is written and shown.

    On a terminal the table stays in one place; elsewhere it is printed when it is another one.

    Args:
        options: of the comparison.
        sleep: waits; raises to end it, as the handler of Ctrl-C does.

    Raises:
        ConfigError: nothing is there at the first look; later that is waited for.
        UserError: the page cannot be written.
    """
    before: object = None
    first = True
    while True:
        try:
            comparison = task.compare(options, quiet=not first)
        except ConfigError as error:
            if first:
                raise
            print(f"waiting: {error.message}", file=sys.stderr, flush=True)
        else:
            now = _standing(comparison)
            if now != before:
                task.write_page(comparison, options, quiet=not first)
                _show(comparison, options)
            before, first = now, False
        sleep(options.watch_s)


def _standing(comparison: Comparison) -> object:
    """What a reader would see change; the duration of what runs grows in any case."""
    return [
        (str(run.folder), run.state, run.value, run.metrics.rows, run.findings) for run in comparison.runs
    ]


def _show(comparison: Comparison, options: Options) -> None:
    if sys.stdout.isatty() and not options.best:
        sys.stdout.write("\x1b[H\x1b[2J")  # home, and clear
    task.show(comparison, options)
