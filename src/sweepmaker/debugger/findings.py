"""What was found: ``debugger/findings.json``, one console line a rule, a table at the end (contract 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from textwrap import shorten
from typing import Any

from sweepmaker.debugger.rules.base import Finding

VERSION = 1
KEPT = 20
"""Findings of one rule that are kept; the rest is counted."""


@dataclass
class Report:
    """How one rule stands, in SageMaker's words.

    Attributes:
        parameters: of the rule.
        status: InProgress, NoIssuesFound, IssuesFound, Error or Stopped.
        reason: of an Error, or what SageMaker says of a rule that fired.
        count: how often it fired.
        findings: the first `KEPT`.
    """

    parameters: dict[str, Any]
    status: str = "InProgress"
    reason: str | None = None
    count: int = 0
    findings: list[Finding] = field(default_factory=list)

    def add(self, rule: str, finding: Finding) -> None:
        """The rule has fired."""
        self.count += 1
        if len(self.findings) < KEPT:
            self.findings.append(finding)
        if self.status != "IssuesFound":
            self.status = "IssuesFound"
            # the service's own words, which scripts may look for
            self.reason = (
                f"RuleEvaluationConditionMet: Evaluation of the rule {rule} at step {finding.step} "
                "resulted in the condition being met"
            )

    def end(self, status: str) -> None:
        """The stream is over: ``NoIssuesFound`` or ``Stopped`` where nothing else was said."""
        if self.status == "InProgress":
            self.status = status


def document(preset: str, reports: Mapping[str, Report]) -> dict[str, Any]:
    """What findings.json holds."""
    return {
        "version": VERSION,
        "preset": preset,
        "rules": {
            name: {
                "status": report.status,
                "reason": report.reason,
                "parameters": report.parameters,
                "count": report.count,
                "findings": [asdict(finding) for finding in report.findings],
            }
            for name, report in reports.items()
        },
    }


def line(rule: str, finding: Finding) -> str:
    """One finding as it is said when it happens."""
    fix = f" ({finding.override})" if finding.override else ""
    return (
        f"debugger: {rule} at step {finding.step}, epoch {finding.epoch}: {finding.where}: "
        f"{finding.value:.4g} against {finding.threshold:.4g}\n"
        f"  {finding.meaning}\n  try: {finding.advice}{fix}"
    )


def table(reports: Mapping[str, Report], place: str = " (debugger/findings.json)") -> str:
    """What the run ends with: a line for each rule that fired or failed, or that none did.

    Args:
        reports: by the rule's name.
        place: where more is to be read.
    """
    told = {name: report for name, report in reports.items() if report.status in ("IssuesFound", "Error")}
    quiet = len(reports) - len(told)
    if not told:
        return f"debugger: {quiet} rules, no findings"
    rows = [("rule", "times", "where", "epoch", "value", "threshold", "what to change")]
    meanings = [""]
    for name, report in told.items():
        meanings.append((report.findings[0].meaning if report.findings else report.reason) or "")
        if report.status == "Error":
            rows.append((name, "Error", "", "", "", "", ""))
            continue
        first = report.findings[0]
        rows.append((
            name, str(report.count), first.where, str(first.epoch), f"{first.value:.4g}",
            f"{first.threshold:.4g}", first.override or shorten(first.advice, 60, placeholder=" ..."),
        ))  # fmt: skip
    head = f"debugger: {len(told)} of {len(reports)} rules {_says(len(told))} something to say{place}"
    lines = [head]
    for row, meaning in zip(_aligned(rows), meanings, strict=True):
        lines += [row, *([f"    {meaning}"] if meaning else [])]
    return "\n".join(lines)


def _says(count: int) -> str:
    return "has" if count == 1 else "have"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
