"""What the parts of a running server need of each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from launchers.embedded.artifacts import Objects
from launchers.embedded.faults import Faults
from launchers.embedded.root import Root
from launchers.embedded.runtimes.spec import Runtime
from launchers.embedded.settings import Settings
from launchers.embedded.slots import Slots
from launchers.embedded.state import State


class LogStreams(Protocol):
    """CloudWatch Logs of this server."""

    def put(self, group: str, stream: str, lines: list[tuple[int, str]]) -> None:
        """``lines`` are (milliseconds since 1970, text)."""


class Chooser(Protocol):
    """Which runtime starts an image."""

    def __call__(self, document: Mapping[str, Any]) -> Runtime: ...


@dataclass(frozen=True)
class Parts:
    """One of each."""

    root: Root
    settings: Settings
    state: State
    store: Objects
    logs: LogStreams
    runtime: Chooser
    slots: Slots
    faults: Faults
    environment: Mapping[str, str]
    """Variables by which a trial reaches this server's services."""
