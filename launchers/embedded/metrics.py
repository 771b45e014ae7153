"""A trial's metrics, read from its output as the service reads them: by the request's regexes."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import regex as clients  # as re, with a time limit: a client's (a|aa)+$ would hold up the server for ever

_EPOCH = re.compile(r"\bepoch=(\d+)\b")
_LONGEST = 10_000  # characters of a line that the regexes see
_LONGEST_S = 1.0  # seconds that a regex may look at one line


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
    given_up: list[str] = field(default_factory=list)
    """A line for each metric that is no longer read because its regex takes too long."""

    def __post_init__(self) -> None:
        self._regexes = {one["Name"]: clients.compile(one["Regex"]) for one in self.definitions}

    def read(self, line: str) -> Iterator[tuple[int, float]]:
        """Take in one line of output; yields (resource, value) where the objective came further.

        A line that names its epoch counts as that one (the first is resource 1): after an
        interruption epochs are printed again. Any other objective line counts as the next. What a
        progress bar writes over and over counts as a line each time.
        """
        for part in line.split("\r"):
            yield from self._read(part[:_LONGEST])

    def _read(self, line: str) -> Iterator[tuple[int, float]]:
        for name in list(self._regexes):
            for value in self._values(name, line):
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

    def _values(self, name: str, line: str) -> list[float]:
        found: list[float] = []
        try:
            for match in self._regexes[name].finditer(line, timeout=_LONGEST_S):
                try:
                    value = float(match.group(1))
                except (ValueError, IndexError, TypeError):
                    continue
                if math.isfinite(value):
                    found.append(value)
        except TimeoutError:
            del self._regexes[name]
            self.given_up.append(
                f"the regex of metric {name} takes over {_LONGEST_S:g} s a line: not read any more"
            )
        return found
