"""A place in a request and what is wrong there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launchers.limits.shown import LONGEST, secret_in, shown


@dataclass(frozen=True)
class Violation:
    """One thing in a request that the service would refuse."""

    path: str
    """Where: ``HyperParameterTuningJobConfig.ResourceLimits.MaxParallelTrainingJobs``, items of lists as
    ``[0]``, entries of maps as ``['name']``; empty for the request as a whole."""
    message: str
    """What is wrong, with the value (clipped; a secret or an account number is never in it)."""
    allowed: str
    """The limit in words."""
    fix: str = ""
    """What to do, in words of the request; empty where `allowed` says it."""


@dataclass(frozen=True)
class At:
    """A value of a request with its path. Whatever the value is, reading it never raises."""

    value: Any
    path: str = ""

    def __getitem__(self, member: str) -> At:
        """The member of a structure; one that is not there has the value None."""
        value = self.value.get(member) if isinstance(self.value, Mapping) else None
        return At(value, member_of(self.path, member))

    @property
    def given(self) -> bool:
        return self.value is not None

    @property
    def on(self) -> bool:
        return self.value is True

    @property
    def text(self) -> str:
        """The text; empty for anything that is no text."""
        return self.value if isinstance(self.value, str) else ""

    @property
    def whole(self) -> int | None:
        """The whole number; None for anything that is none."""
        return self.value if isinstance(self.value, int) and not isinstance(self.value, bool) else None

    def items(self) -> list[At]:
        """The items of a list; of anything else none."""
        values = self.value if isinstance(self.value, list | tuple) else ()
        return [At(value, f"{self.path}[{index}]") for index, value in enumerate(values)]

    def entries(self) -> list[tuple[str, At]]:
        """Key and value of a map's entries, as far as the keys are texts; of anything else none."""
        entries = self.value.items() if isinstance(self.value, Mapping) else ()
        return [(key, At(value, entry(self.path, key))) for key, value in entries if isinstance(key, str)]

    def bad(self, message: str, allowed: str, fix: str = "") -> Violation:
        return Violation(self.path, message, allowed, fix)


def member_of(path: str, name: object) -> str:
    """The path of a structure's member; a name that no structure has is quoted and clipped."""
    if not isinstance(name, str) or not name.isidentifier() or len(name) > LONGEST or secret_in(name):
        return entry(path, name)
    return f"{path}.{name}" if path else name


def entry(path: str, key: object) -> str:
    """The path of a map's entry."""
    return f"{path}[{shown(key)}]"
