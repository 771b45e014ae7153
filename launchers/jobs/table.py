"""A job for people's eyes, on stderr: one live table on a terminal, elsewhere a line for each change."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from launchers.aws.masking import masked
from launchers.jobs.standing import Job, Trial

_AROUND = 8  # lines of a terminal that are not the table's rows
_WORTH = 60  # characters of a failure's reason in a row
_LONGER_S = 300.0  # without any change, a plain line says that the job is still there


class Screen(Protocol):
    """Where a job is shown."""

    def show(self, job: Job) -> None: ...
    def say(self, line: str) -> None: ...
    def close(self) -> None: ...


def open_screen(stream: TextIO | None = None) -> Screen:
    """The table where ``stream`` (None: stderr) is a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    return Table(stream) if stream.isatty() else Lines(stream)


class Lines:
    """One line for each change of a trial or of the job."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._status = ""
        self._told = 0.0

    def show(self, job: Job) -> None:
        """Say what is new since the last time."""
        for trial in job.trials:
            now = (trial.status, trial.phase, trial.value)
            if self._shown.get(trial.name) != now:
                self._shown[trial.name] = now
                self.say("  ".join(filter(None, row(job, trial))))
        if job.status != self._status or time.monotonic() - self._told > _LONGER_S:
            self._status = job.status
            self.say(headline(job))

    def say(self, line: str) -> None:
        """One line with the time."""
        self._told = time.monotonic()
        print(f"{datetime.now():%H:%M:%S}  {printable(line)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class Table:
    """A table that is drawn again and again in the same place; its seconds go on between two looks."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream)
        self._job: Job | None = None
        self._live = Live(console=self._console, get_renderable=self._render, refresh_per_second=2)
        self._live.start()

    def show(self, job: Job) -> None:
        """Draw the job as it is now."""
        self._job = job
        self._live.refresh()

    def say(self, line: str) -> None:
        """A line above the table."""
        self._console.print(printable(line), markup=False, highlight=False)

    def close(self) -> None:
        """The table stays as it is."""
        self._live.stop()

    def _render(self) -> Any:
        from rich.console import Group
        from rich.table import Table as RichTable
        from rich.text import Text

        if self._job is None:
            return Text("")
        job = self._job
        trials = _most_telling(job, max(self._console.size.height - _AROUND, 3))
        table = RichTable(
            title=Text(printable(headline(job))), title_justify="left", box=None, pad_edge=False
        )
        for head in ("trial", "state", "values", job.metric or "objective", "seconds"):
            table.add_column(Text(head), justify="right" if head == "seconds" else "left")
        for trial in trials:
            best = job.best is not None and trial.name == job.best.name
            cells = (short(job, trial), state(trial), values(trial), _value(trial), _seconds(trial))
            table.add_row(*(Text(printable(cell)) for cell in cells), style="bold" if best else None)
        if left := len(job.trials) - len(trials):
            table.add_row(Text(f"and {left} more"))
        return Group(Text(printable(headline(job))), table)


def row(job: Job, trial: Trial) -> tuple[str, ...]:
    """A trial in words: name, state, values, objective, seconds."""
    found = f"{job.metric}={_value(trial)}" if trial.value is not None else ""
    seconds = _seconds(trial)
    return short(job, trial), state(trial), values(trial), found, f"{seconds} s" if seconds else ""


def headline(job: Job) -> str:
    """The job in one line."""
    parts = [f"{job.kind.word} {job.name}: {job.status}"]
    if job.kind.word == "tuning job":
        ended = sum(one.ended for one in job.trials)
        parts.append(f"{ended} of {job.most or len(job.trials)} trials ended")
        failed = sum(one.status == "Failed" for one in job.trials)
        parts += [f"{failed} failed"] if failed else []
    if job.best is not None and job.best.value is not None:
        parts.append(f"best {job.metric}={job.best.value:g} ({short(job, job.best)})")
    return ", ".join(parts)


def short(job: Job, trial: Trial) -> str:
    """A trial's name without the job's."""
    return trial.name.removeprefix(f"{job.name}-") or trial.name


def state(trial: Trial) -> str:
    """What a trial is doing, or how it ended and why."""
    if trial.status == "InProgress":
        return trial.phase or trial.status
    if trial.status == "Failed" and trial.reason:
        reason = " ".join(masked(trial.reason).split())
        return f"Failed: {reason[:_WORTH]}{'...' if len(reason) > _WORTH else ''}"
    return trial.status


def values(trial: Trial) -> str:
    """The swept values as they stand on a command line, numbers shortened."""
    return " ".join(f"{key}={_number(value)}" for key, value in sorted(trial.tuned.items()))


def printable(text: str) -> str:
    """``text`` without what would move the cursor or colour the rest."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _number(text: str) -> str:
    try:
        return f"{float(text):.6g}"
    except ValueError:
        return text


def _value(trial: Trial) -> str:
    return "" if trial.value is None else f"{trial.value:.6g}"


def _seconds(trial: Trial) -> str:
    seconds = trial.seconds(datetime.now(UTC))
    return "" if seconds is None else f"{seconds:.0f}"


def _most_telling(job: Job, rows: int) -> list[Trial]:
    """As many trials as fit, in their order: those at work, the best, then the latest."""
    if len(job.trials) <= rows:
        return list(job.trials)
    best = job.best.name if job.best else ""
    newest = list(reversed(job.trials))
    ranked = sorted(newest, key=lambda one: (one.ended and one.name != best, one.ended))
    kept = {one.name for one in ranked[:rows]}
    return [one for one in job.trials if one.name in kept]
