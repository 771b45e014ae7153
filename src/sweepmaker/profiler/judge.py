"""Lets the rules look at a profile while it grows, and draws the conclusion at the end."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from typing import Any

from sweepmaker.profiler.phases import NAMES, PHASES
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules import RULES, Verdict
from sweepmaker.profiler.rules.overall import OTHERS
from sweepmaker.profiler.rules.verdict import many, not_looked

log = logging.getLogger(__name__)

# what they see is often the effect of what another rule names: waiting for data, say
_SYMPTOMS = ("LowGPUUtilization", "BatchSize", "CPUUnderutilised", "LoadBalancing", "MaxInitializationTime")
_AROUND = {"initialisation": "start", "finalisation": "end"}


@dataclass
class Found:
    """What the rules say of the whole run.

    Attributes:
        verdicts: by rule; of one that looks at windows, the last time that it fired.
        sentences: where the time went, and the one change that would help most.
        best: the rule whose advice that is, or None.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    best: str | None = None

    @property
    def override(self) -> str | None:
        """The change as a word on the command line."""
        return self.verdicts[self.best].override if self.best else None

    @property
    def triggered(self) -> list[str]:
        """Names of the rules that found something, the most promising first."""
        names = [name for name, verdict in self.verdicts.items() if verdict.triggered]

        def promise(name: str) -> float:
            verdict = self.verdicts[name]
            gain = round(verdict.gain, 2) - 1  # of equals the one that comes first in the preset
            return gain * (1.0 if verdict.override else 0.5)  # what can be tried at once first

        return sorted(names, key=lambda name: (name in _SYMPTOMS, -promise(name)))


def scan(profile: Profile) -> None:
    """Let every rule look at the profile as it is now, and count what it says."""
    for name, verdict in _look(profile).items():
        kept = profile.rules.setdefault(name, {"scans": 0, "triggered": 0, "violations": 0, "last": None})
        kept["scans"] += verdict.looked
        if verdict.triggered:
            kept["triggered"] += 1
            kept["last"] = _as_dict(verdict)
            bottlenecks = verdict.details.get("bottlenecks", verdict.details.get("number_of_outliers"))
            # these count from the beginning each time; the others say it once a scan
            kept["violations"] = bottlenecks if isinstance(bottlenecks, int) else kept["violations"] + 1


def conclude(profile: Profile) -> Found:
    """What the rules found over the whole run, after the last `scan`."""
    found = Found()
    for name, verdict in _look(profile).items():
        kept = profile.rules.get(name, {})
        if RULES[name].windowed and kept.get("scans"):
            verdict = _voted(profile, verdict, kept)
        found.verdicts[name] = verdict
    if found.triggered:
        found.best = found.triggered[0]
    found.sentences = [_where(profile), _what(profile, found)]
    return found


def _voted(profile: Profile, now: Verdict, kept: dict[str, Any]) -> Verdict:
    """What a rule that looks at windows said most often: its last finding, or that it was none."""
    looks, least = kept["scans"], max(1, math.ceil(profile.settings.least_share * kept["scans"]))
    if kept["triggered"] >= least:
        return replace(now, **{name: value for name, value in kept["last"].items() if name in vars(now)})
    held = f"It held in {kept['triggered']} of {many(looks, 'look')}"
    if not now.looked:  # after it was continued, say
        return replace(now, looked=True, sentence=f"{held}; at the end {now.sentence}")
    if not now.triggered:
        return now
    said = f"{held}, fewer than the {least} that count"
    return replace(
        now, triggered=False, sentence=f"{said}: {now.sentence}", advice="", override=None, gain=1.0
    )


def _look(profile: Profile) -> dict[str, Verdict]:
    verdicts = {}
    for name, parameters in profile.settings.rules.items():
        try:
            verdicts[name] = RULES[name].look(profile, parameters)
        except Exception as error:  # one rule must not take the others along
            if name not in profile.failed:  # it will fail in every look
                log.warning("the profiler's rule %s failed: %s: %s", name, type(error).__name__, error)
                log.debug("where the rule failed", exc_info=error)
            profile.failed.add(name)
            verdicts[name] = not_looked(f"the rule itself failed: {type(error).__name__}: {error}")
    return verdicts


def _where(profile: Profile) -> str:
    """``profile: 61.2 s: start 9 %, forward 30 %, ...`` with the parts that matter."""
    total = profile.seconds
    parts = {name: profile.phases_of_run[name] for name in _AROUND}
    parts |= dict(zip(PHASES, profile.totals.tolist(), strict=True))
    named = sorted(((seconds, name) for name, seconds in parts.items()), reverse=True)
    words = [f"{(NAMES | _AROUND)[name]} {100 * seconds / total:.0f} %" for seconds, name in named
             if total and seconds / total >= 0.03]  # fmt: skip
    speed = f"; {profile.images / profile.training_s:.0f} images/s while training" if profile.images else ""
    busy = profile.others
    shared = f"; other programs used {busy:.0f} % of the cores" if busy >= OTHERS else ""
    return f"profile: {total:.0f} s = {', '.join(words[:6])}{speed}{shared}"


def _what(profile: Profile, found: Found) -> str:
    if not profile.count and found.best is None:
        return "profile: no step was finished, so there is little to judge (profiler/report.html)"
    if found.best is None:
        return "profile: no rule found anything to change (profiler/report.html)"
    verdict = found.verdicts[found.best]
    seen = verdict.sentence.rstrip(".")
    change = f"; try {verdict.override}" if verdict.override else f". {verdict.advice.rstrip('.')}"
    return f"profile: {found.best}: {seen}{change} (profiler/report.html)"


def _as_dict(verdict: Verdict) -> dict[str, Any]:
    return dict(vars(verdict)) | {"details": dict(verdict.details)}
