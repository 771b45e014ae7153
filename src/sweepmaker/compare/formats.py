"""A comparison as text: its cells for the eye, csv with every digit, Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from sweepmaker.compare.columns import Comparison, direction
from sweepmaker.compare.printing import printable
from sweepmaker.compare.run import Run

_NAMED = 3  # metrics of a run that are named where several are not finite


def short(value: float | None) -> str:
    """A figure for the eye, six digits; csv and json have every one."""
    return "" if value is None else f"{value:.6g}"


def duration(seconds: float | None) -> str:
    """Seconds as 17 s, 3 min 20 s or 2 h 05 min."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def header(comparison: Comparison) -> list[str]:
    """Names of the table's columns."""
    goal = comparison.goal
    named = [goal.name, "epoch", "last"] if goal else ["objective", "epoch", "last"]
    further = (name if what == "best" else f"{name} last" for name, what in comparison.further_columns)
    return [
        "run", *comparison.differing, *named, *further,
        "state", "duration", "images/s", "findings", "weights", "commit",
    ]  # fmt: skip


def row(comparison: Comparison, run: Run) -> list[str]:
    """One run, for the eye."""
    goal = comparison.goal
    series = run.metrics.get(goal.name) if goal else None
    epoch = run.objective.epoch if run.objective else None
    further = [
        None if (known := run.metrics.get(name)) is None
        else known.best(direction(run, name)) if what == "best" else known.last
        for name, what in comparison.further_columns
    ]  # fmt: skip
    found = run.findings
    speed = run.images_per_second
    return [
        str(run.folder),
        *("" if value is None else _compact(value) for value in comparison.values(run).values()),
        short(run.value),
        "" if epoch is None else f"{epoch:g}",
        short(series.last if series else None),
        *map(short, further),
        run.state,
        duration(run.seconds),
        "" if speed is None else f"{speed:.0f}",
        "" if found is None else str(found),
        run.weights or "",
        (run.commit or "")[:7] + ("+" if run.dirty else ""),
    ]


def _compact(text: str) -> str:
    """A long number of a search for the eye: 0.004430375245218269 as 0.00443038."""
    try:
        return f"{float(text):.6g}" if len(text) > 9 and "." in text else text
    except ValueError:
        return text


def group_rows(comparison: Comparison) -> list[list[str]]:
    """Header and rows of groups of repeats; [] where there is none."""
    found = comparison.groups
    keys = [key for key in comparison.differing if key not in comparison.repeats]
    name = comparison.goal.name if comparison.goal else "objective"
    rows = [
        [*(_compact(comparison.values(group.runs[0])[key] or "") for key in keys),
         f"{group.mean:.6g} \N{PLUS-MINUS SIGN} {group.std:.2g}", f"({group.n})"]
        for group in found
    ]  # fmt: skip
    return [[*keys, f"{name}, mean \N{PLUS-MINUS SIGN} std", "(n)"], *rows] if rows else []


def closing(comparison: Comparison) -> list[str]:
    """The best run and its lead, and a line for each run with a problem."""
    lines = []
    goal = comparison.goal
    if (chosen := comparison.best) is not None and goal is not None:
        lines.append(f"best: {chosen.folder}  {goal.name}={chosen.value!r} ({goal.mode}){lead(comparison)}")
    elif any(run.value is not None for run in comparison.runs):
        lines.append("no run has a value to compare: the only values are of runs that failed or are broken")
    else:
        lines.append("no run has a value to compare")
    if comparison.others and goal is not None:
        judged = ", ".join(f"{n} by {name} ({mode})" for (name, mode), n in comparison.others.items())
        lines.append(
            f"compared by {goal.name} ({goal.mode}); by themselves runs were judged otherwise: {judged}"
        )
    for run in comparison.runs:
        if said := [*filter(None, (run.problem, run.stopped_by)), *losses(run)]:
            lines.append(f"{run.state}: {run.folder}: {'; '.join(said)}")
    return [printable(line) for line in lines]


def lead(comparison: Comparison) -> str:
    """By how much the best run is ahead of the next, or how many have the same value; "" for one alone."""
    chosen = comparison.best
    values = [
        run.value for run in comparison.runs if run is not chosen and run.value is not None and run.counts
    ]
    if chosen is None or chosen.value is None or not values:
        return ""
    equal = sum(value == chosen.value for value in values)
    if equal:
        return f"; {equal} more with the same value, this one began first"
    return f", ahead of the next by {abs(chosen.value - values[0]):.3g}"


def tied(comparison: Comparison) -> bool:
    """Whether another run that counts has the best value too."""
    chosen = comparison.best
    rest = [run for run in comparison.runs if run is not chosen and run.counts]
    return chosen is not None and any(run.value == chosen.value for run in rest)


def losses(run: Run) -> list[str]:
    """What of a run's metrics is not in its figures."""
    broken = {name: series.broken for name, series in run.metrics.items() if series.broken}
    found = [f"{name} was nan or infinite {count} times" for name, count in list(broken.items())[:_NAMED]]
    if len(broken) > _NAMED:
        found.append(f"and {len(broken) - _NAMED} more metrics likewise")
    if run.metrics.unreadable:
        found.append(f"{run.metrics.unreadable} cells or rows of its metrics cannot be read")
    return found


def as_csv(comparison: Comparison) -> str:
    """Every run with every digit: overrides that differ, then each metric's best and last."""
    metrics = comparison.metrics
    names = ["run", *comparison.differing, "objective", "mode", "value", "epoch"]
    names += [f"{name} {what}" for name in metrics for what in ("best", "last")]
    names += ["state", "seconds", "images_per_second", "findings", "weights", "commit", "dirty", "problem"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for run in comparison.runs:
        figures: list[object] = []
        for name in metrics:
            series = run.metrics.get(name)
            figures += [series.best(direction(run, name)), series.last] if series else [None, None]
        found = run.objective
        writer.writerow([
            str(run.folder), *comparison.values(run).values(), found and found.name,
            found and found.mode, found and found.value, found and found.epoch, *figures, run.state,
            run.seconds, run.images_per_second, run.findings, run.weights, run.commit,
            run.dirty if run.commit else None, run.problem,
        ])  # fmt: skip
    return text.getvalue()


def as_markdown(comparison: Comparison) -> str:
    """The table of the terminal for a page in Markdown."""
    tables = [[header(comparison), *(row(comparison, run) for run in comparison.runs)]]
    if found := group_rows(comparison):
        tables.append(found)
    return "\n".join(_markdown(table) for table in tables) + "\n" + "\n".join(
        f"- {_cell(line)}" for line in closing(comparison)
    ) + "\n"  # fmt: skip


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(map(_cell, cells)) + " |" for cells in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]]) + "\n"


def _cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    for mark in ("\\", "_", "|", "<", ">", "*", "`", "[", "]", "&", "~"):
        text = text.replace(mark, f"\\{mark}")
    return printable(text)
