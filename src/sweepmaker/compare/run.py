"""One run as it is compared, whoever wrote its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sweepmaker.compare.series import Metrics

_DIRTY = "-dirty"  # behind a commit whose files were changed


@dataclass(frozen=True)
class Objective:
    """What a run was judged by.

    Attributes:
        name: of the metric.
        mode: ``max`` or ``min``.
        value: the best one; None where there is none yet.
        epoch: of the best one, where that is known.
    """

    name: str
    mode: str
    value: float | None
    epoch: float | None = None


@dataclass
class Run:
    """What is known of one run folder.

    Attributes:
        folder: as it was found, relative where the selection was.
        state: one of run.json's, or ``unknown`` (nobody wrote one) or ``broken``.
        problem: why it is broken or what failed, in a line.
        lines: its overrides as they were written.
        overrides: the same by key, without ``+``; values are Hydra's text.
        objective: what it was judged by.
        metrics: by name.
        start: when it began.
        seconds: from start to end, or to now.
        record: the whole run.json; empty where there is none.
        launched: the commit that a collected trial was launched from, as its launch has it.
        rules: what the debugger's rules wrote, by their names; None where none ran.
    """

    folder: Path
    state: str = "unknown"
    problem: str | None = None
    lines: list[str] = field(default_factory=list)
    overrides: dict[str, str] = field(default_factory=dict)
    objective: Objective | None = None
    metrics: Metrics = field(default_factory=Metrics)
    start: datetime | None = None
    seconds: float | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Any]] | None = None
    launched: str | None = None

    @property
    def images_per_second(self) -> float | None:
        return number(_part(self.record, "timing").get("images_per_second"))

    @property
    def findings(self) -> int | None:
        """How many findings the debugger's rules had; None where none ran."""
        if self.rules is None:
            return None
        counts = [rule.get("count") for rule in self.rules.values()]
        return sum(count for count in counts if isinstance(count, int) and 0 <= count < 2**53)

    @property
    def stopped_by(self) -> str | None:
        """The rule that ended it, and why."""
        why = _part(self.record, "stopped_by")
        return f"by rule {why['rule']}: {why.get('reason')}" if isinstance(why.get("rule"), str) else None

    @property
    def weights(self) -> str | None:
        """What the network began from."""
        weights = _part(self.record, "weights")
        return str(weights.get("name") or weights.get("path") or weights.get("source") or "") or None

    @property
    def commit(self) -> str | None:
        commit = _part(self.record, "git").get("commit") or (self.launched or "").removesuffix(_DIRTY)
        return str(commit) if commit else None

    @property
    def dirty(self) -> bool:
        """Whether files differed from the commit."""
        return bool(_part(self.record, "git").get("dirty")) or (self.launched or "").endswith(_DIRTY)

    @property
    def value(self) -> float | None:
        """The best value of its objective."""
        return None if self.objective is None else self.objective.value

    @property
    def counts(self) -> bool:
        """Whether it may be the best: of one that failed nobody knows whether its value would hold."""
        return self.state not in ("failed", "broken")


def number(value: Any) -> float | None:
    """``value`` where it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:  # JSON's whole numbers have no end
        return None
    return found if math.isfinite(found) else None


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name)
    return part if isinstance(part, Mapping) else {}


def by_key(lines: list[str]) -> dict[str, str]:
    """Override lines as key and value: ``+experiment=b2`` is ``experiment``, ``~key`` is not there."""
    found: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        plain = key.strip().lstrip("+~")
        if key.startswith("~"):
            found[plain] = "(deleted)"
        elif equals and plain:
            found[plain] = value
    return found
