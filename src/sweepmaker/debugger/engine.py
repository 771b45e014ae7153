"""Shows observations to rules and keeps what they find."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from sweepmaker.debugger.findings import Report
from sweepmaker.debugger.observations import Observation
from sweepmaker.debugger.rules import BUILT_IN, Finding, Rule
from sweepmaker.debugger.settings import Watched

_KEYS = {"model": ("lr=", "model.", "optimizer.", "objective."), "data": ("data.",)}
"""What our own model and data module follow, and a class of the user's own may not."""

log = logging.getLogger(__name__)


class Engine:
    """The rules of one run over its stream of observations.

    Args:
        watched: the rules that are on.
        say: called with rule and finding at a rule's first finding.

    Attributes:
        reports: how each rule stands, by name.
        stop: the rule and the finding that ask the run to end; None while none does.
        own: as `Names` has it: a rule of ours does not advise keys that a class of the user's own lacks.
    """

    def __init__(
        self, watched: Sequence[Watched], say: Callable[[str, Finding], None] = lambda rule, finding: None
    ) -> None:
        self._watched = list(watched)
        self._say = say
        self.reports = {one.name: Report(one.rule.parameters) for one in watched}
        self.stop: tuple[str, Finding] | None = None
        self.own: Sequence[str] = ()

    @property
    def count(self) -> int:
        """Findings of all rules together."""
        return sum(report.count for report in self.reports.values())

    def show(self, observation: Observation) -> bool:
        """Show one observation to every rule; whether anything about a report has changed."""
        changed = False
        for one in list(self._watched):
            try:
                found = [self._typed(one, _plain(finding)) for finding in one.rule.observe(observation)]
            except Exception as error:  # a rule that fails must never hurt the training
                self._failed(one, error)
                changed = True
                continue
            for finding in found:
                self._add(one, finding)
            changed |= bool(found)
        return changed

    def fail(self, reason: str) -> None:
        """Nothing can be observed any more: every rule that has not fired ends as Error."""
        self._watched = []
        for report in self.reports.values():
            if report.status == "InProgress":
                report.status, report.reason = "Error", reason

    def end(self, status: str) -> None:
        """The stream is over (``NoIssuesFound``), or was cut off (``Stopped``)."""
        for report in self.reports.values():
            report.end(status)

    def _typed(self, one: Watched, finding: Finding) -> Finding:
        words = (finding.override or "").split()
        if type(one.rule) not in BUILT_IN.values() or not any(_is_below(word, self.own) for word in words):
            return finding
        return replace(finding, override=None)

    def _add(self, one: Watched, finding: Finding) -> None:
        report = self.reports[one.name]
        report.add(one.name, finding)
        if report.count == 1:
            self._say(one.name, finding)
        if one.stops and self.stop is None:
            self.stop = (one.name, finding)

    def _failed(self, one: Watched, error: Exception) -> None:
        self._watched.remove(one)
        report = self.reports[one.name]
        report.status, report.reason = "Error", f"{type(error).__name__}: {error}{_place(one.rule, error)}"
        log.warning("rule %s failed and is off from here: %s", one.name, report.reason)


def _place(rule: Rule, error: Exception) -> str:
    """Where in a user's own rule it happened; ours speak for themselves."""
    if type(rule) in BUILT_IN.values():
        return ""
    file = inspect.getfile(type(rule))
    lines = [one.lineno for one in traceback.extract_tb(error.__traceback__) if one.filename == file]
    return f" ({Path(file).name}, line {lines[-1]})" if lines else ""


def _is_below(word: str, own: Sequence[str]) -> bool:
    return any(word.startswith(_KEYS[part]) for part in own)


def _plain(finding: Finding) -> Finding:
    """With numbers that JSON has: a rule of one's own may give NumPy's.

    Raises:
        TypeError: it gave something else.
    """
    if not isinstance(finding, Finding):
        raise TypeError(f"observe gave {finding!r}, which is no Finding")
    return replace(
        finding, step=int(finding.step), epoch=int(finding.epoch), value=float(finding.value),
        threshold=float(finding.threshold),
    )  # fmt: skip
