"""What ``compare.py`` does: read, compare, show; once or again and again."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sweepmaker.compare import filters, formats, ranking, reading, settings, terminal
from sweepmaker.compare.columns import Comparison, as_json, differing, run_as_json
from sweepmaker.compare.printing import printable
from sweepmaker.compare.run import Run
from sweepmaker.compare.select import select
from sweepmaker.compare.settings import Options
from sweepmaker.config.errors import ConfigError
from sweepmaker.run import atomic


def run(cfg: DictConfig) -> None:
    """Do what ``cfg.action`` says.

    Raises:
        ConfigError: a wrong key or value, no such folder, no such run.
        UserError: the page cannot be written.
    """
    plain_output()
    if cfg.action not in ACTIONS:
        raise ConfigError(f"{cfg.action!r} is unknown", key="action", allowed=", ".join(ACTIONS))
    ACTIONS[cfg.action](cfg)


def plain_output() -> None:
    """Let stdout take any text: a folder's name may be no UTF-8, a terminal may lack a letter."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _compare(cfg: DictConfig) -> None:
    options = settings.options(cfg)
    if options.watch:
        from sweepmaker.compare.watch import watch

        watch(options)
        return
    comparison = compare(options)
    write_page(comparison, options)
    show(comparison, options)


Read = Callable[..., Run]


def compare(options: Options, *, quiet: bool = False, read: Read = reading.read) -> Comparison:
    """Read what ``options`` select and put it in order.

    Args:
        options: of the comparison.
        quiet: leave the notes on what was selected out.
        read: `reading.read`, or one that remembers.

    Raises:
        ConfigError: nothing is selected, or nothing passes the filters.
    """
    kept = _selected(options, quiet=quiet, read=read)
    goal = ranking.goal(kept, options.metric, options.mode)
    own = [(run.objective.name, run.objective.mode) for run in kept if run.objective]
    others = Counter(one for one in own if goal and not options.metric and one != (goal.name, goal.mode))
    return Comparison(ranking.judged(kept, goal), goal, differing(kept), options.repeats, others)


def _selected(options: Options, *, quiet: bool = False, read: Read = reading.read) -> list[Run]:
    selected = select(options.runs)
    for note in () if quiet else selected.notes:
        print(printable(note), file=sys.stderr)
    curves = options.html is not None
    runs = [read(folder, curves=curves) for folder in selected.folders]
    kept = filters.keep(runs, options)
    if not kept:
        raise ranking.NotYet(
            f"none of {len(runs)} runs passes the filters",
            key=", ".join(_filters(options)),
            fix="leave one of them out",
        )
    return kept


def _rules(cfg: DictConfig) -> None:
    """The debugger's rules asked again over what the runs have stored, with the thresholds of ``cfg``."""
    from sweepmaker.compare import rules

    options = settings.options(cfg)
    asked: Any = OmegaConf.to_container(cfg.debugger, resolve=True)
    rules.show([run.folder for run in _selected(options)], asked, options.format)


def _filters(options: Options) -> list[str]:
    names = ("overrides", "experiment", "state", "since", "until", "commit")
    return [f"only.{name}" for name in names if getattr(options, name)]


def write_page(comparison: Comparison, options: Options, *, quiet: bool = False) -> None:
    """The page, where one is asked for; ``quiet`` does not say so.

    Raises:
        UserError: it cannot be written.
    """
    if options.html is None:
        return
    from sweepmaker.compare.page import write

    write(comparison, options.html, again_s=options.watch_s if options.watch else None)
    if quiet:
        return
    size = options.html.stat().st_size / 1e6
    print(f"page: {options.html} ({size:.1f} MB)", file=sys.stderr)


def show(comparison: Comparison, options: Options) -> None:
    """The result, on stdout.

    Raises:
        ConfigError: the best run is asked for and there is none.
    """
    if options.best:
        _show_best(comparison, options.format)
    elif options.format == "table":
        terminal.print_table(comparison)
    else:
        sys.stdout.write(_TEXTS[options.format](comparison))
    sys.stdout.flush()


def _show_best(comparison: Comparison, form: str) -> None:
    chosen = comparison.best
    if chosen is None:
        failed = any(run.value is not None for run in comparison.runs)
        why = "; the only values are of runs that failed or are broken" if failed else ""
        raise ranking.NotYet(
            f"no run has a value to compare{why}", key="best", fix="metric=NAME, or other runs"
        )
    if formats.tied(comparison):
        print(formats.lead(comparison).lstrip("; "), file=sys.stderr)
    if form == "json":
        print(_json(run_as_json(chosen)))
        return
    for line in (shlex.join(chosen.lines), str(chosen.folder)):
        # what a program reads stays as it is; a terminal would follow what is in it
        print(printable(line) if sys.stdout.isatty() else line)


def _json(content: object) -> str:
    return json.dumps(atomic.finite(content), indent=2, ensure_ascii=False, allow_nan=False)


_TEXTS: dict[str, Callable[[Comparison], str]] = {
    "csv": formats.as_csv,
    "json": lambda comparison: _json(as_json(comparison)) + "\n",
    "markdown": formats.as_markdown,
}

ACTIONS: dict[str, Callable[[DictConfig], None]] = {
    "compare": _compare,
    "rules": _rules,
}
