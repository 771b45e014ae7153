"""Automatic choices: each is printed with its reason and kept for run.json."""

from __future__ import annotations

import sys
from typing import Any


class Choices:
    """The choices that this run made by itself, in the order in which they were made."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._made: dict[str, dict[str, Any]] = {}

    def add(self, name: str, value: Any, reason: str) -> None:
        """Keep ``name = value`` with its reason and say it on stderr; ``value`` must fit into JSON."""
        self._made[name] = {"value": value, "reason": reason}
        if not self._quiet:
            print(f"{name} = {value}  ({reason})", file=sys.stderr, flush=True)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """``{name: {"value": ..., "reason": ...}}``, as run.json's ``choices`` holds it."""
        return {name: dict(entry) for name, entry in self._made.items()}
