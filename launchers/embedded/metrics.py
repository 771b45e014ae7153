"""A trial's metrics, read from its output as the service reads them: by the request's regexes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_EPOCH = re.compile(r"\bepoch=(\d+)\b")
_LONGEST = 10_000  # characters of a line that the regexes see; a client's regex may be slow


@dataclass
class Metrics:
    """The last value of each metric, and how far the objective has come.

    Args:
        definitions: MetricDefinitions of the request.
        objective: name of the objective's metric, or None.
        resource: the objective's values so far; a trial that starts again goes on counting.
    """

    definitions: Sequence[Mapping[str, str]]
    objective: str | None = None
    resource: int = 0
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: int = 0
    """Values read so far, of any metric."""

    def __post_init__(self) -> None:
        self._regexes = [(one["Name"], re.compile(one["Regex"])) for one in self.definitions]

    def read(self, line: str) -> Iterator[tuple[int, float]]:
        """Take in one line of output; yields (resource, value) where the objective came further.

        A line that names its epoch counts as that one (the first is resource 1): after an
        interruption epochs are printed again. Any other objective line counts as the next.
        """
        line = line[:_LONGEST]
        for name, regex in self._regexes:
            for value in _values(regex, line):
                self.seen += 1
                self.last[name] = {"MetricName": name, "Value": value, "Timestamp": time.time()}
                if name == self.objective:
                    epoch = _EPOCH.search(line)
                    resource = int(epoch.group(1)) + 1 if epoch else self.resource + 1
                    if resource > self.resource:
                        self.resource = resource
                        yield resource, value

    @property
    def value(self) -> float | None:
        """The objective's last value."""
        found = self.last.get(self.objective or "")
        return None if found is None else float(found["Value"])


def _values(regex: re.Pattern[str], line: str) -> Iterator[float]:
    for found in regex.finditer(line):
        try:
            value = float(found.group(1))
        except (ValueError, IndexError, TypeError):
            continue
        if math.isfinite(value):
            yield value
