"""What a rule says of a profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweepmaker.profiler.profile import Profile


@dataclass(frozen=True)
class Verdict:
    """
    Attributes:
        triggered: the rule found something.
        sentence: what it saw, in words, whether it found something or not.
        advice: what to change, in words; empty where there is nothing to change.
        override: the same as a word for the command line, or None where none can be given.
        gain: how many times as fast the run could be at best, as far as the rule can tell; 1: unknown.
        datapoints: samples or steps that it looked at.
        details: figures for `reports/<Rule>.json`.
        looked: it could look: there was a GPU, and there were enough samples.
    """

    triggered: bool
    sentence: str
    advice: str = ""
    override: str | None = None
    gain: float = 1.0
    datapoints: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)
    looked: bool = True


def many(count: int, noun: str, ending: str = "s") -> str:
    """``1 core``, ``2 cores``."""
    return f"{count} {noun}{'' if count == 1 else ending}"


Look = Callable[[Profile, Mapping[str, Any]], Verdict]


@dataclass(frozen=True)
class Rule:
    """A rule and the words for its place in the report.

    Attributes:
        look: judges a profile by the rule's parameters.
        checks: what it looks at.
        recommends: what usually helps.
        windowed: it looks at the last seconds only, so what it said once counts; else its last word does.
    """

    look: Look
    checks: str
    recommends: str
    windowed: bool = False


def not_looked(why: str, datapoints: int = 0) -> Verdict:
    """The rule could not look, and says why."""
    return Verdict(False, why, datapoints=datapoints, looked=False)


NO_GPU = "there is no GPU"


def too_short(profile: Profile, parameters: Mapping[str, Any]) -> Verdict | None:
    """A verdict where there are fewer seconds of training than the rule's patience, else None."""
    if profile.watched_s < parameters["patience_s"]:
        seen, asked = f"{profile.watched_s:.0f} s of training were watched", f"{parameters['patience_s']:g} s"
        return not_looked(f"{seen}, at least {asked} are needed", profile.samples)
    return None


_OF_IMAGES = ("data.num_workers", "data.cache")


def knows(profile: Profile, key: str) -> bool:
    """Whether ``key`` of the config means for this run what it says, and changes something."""
    if profile.facts.get("features") and key in _OF_IMAGES:  # of a frozen backbone: no image is loaded
        return False
    return key in profile.facts.get("keys", ())


def word(profile: Profile, key: str, value: object) -> str | None:
    """``key=value``, or None where the run's own modules may understand another thing by it."""
    return f"{key}={value}" if knows(profile, key) else None
