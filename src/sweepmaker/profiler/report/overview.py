"""The first two sections: the run in three parts, and what each rule says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.report.charts import parts
from sweepmaker.profiler.report.markup import facts, paragraph, seconds, section, sentence, text, words
from sweepmaker.profiler.rules import RULES, Verdict
from sweepmaker.profiler.rules.overall import OTHERS
from sweepmaker.run.record import now

_PARTS = {
    "initialisation": "before the first step",
    "training": "training loop",
    "finalisation": "after the last step",
}


def summary(profile: Profile, record: Mapping[str, Any]) -> str:
    """When the run began and ended, and how its time splits into start, training and end.

    Args:
        record: its run.json, in which the end is still to come.
    """
    shown = {words: profile.phases_of_run[name] for name, words in _PARTS.items()}
    total = max(profile.seconds, 1e-9)
    start, training = (profile.phases_of_run[name] for name in ("initialisation", "training"))
    said = f"The run took {seconds(profile.seconds)}, of which {100 * training / total:.0f} % was training."
    if len(profile.starts) > 1:
        said += f" It was continued, so it has {len(profile.starts)} starts; their times are added up."
    if profile.others >= OTHERS:
        said += f" Other programs used {profile.others:.0f} % of the cores meanwhile."
    if start > 0.5 * total:
        said += " Most of it went by before the first step: a longer run would show a better split."
    speed = profile.images / profile.training_s if profile.training_s else float("nan")
    return section(
        "summary", "Summary", paragraph(profile.unwatched or "", "advice"), paragraph(said),
        parts("The run's time", shown),
        facts({
            "began": _moment(_timing(record).get("start")),
            "ended": _moment(_timing(record).get("end") or now()),
            "images": f"{profile.images:,} in {profile.count:,} steps, {speed:.0f} a second while training",
            "median step": seconds(profile.durations.quantile("step", 0.5)),
            "batch": profile.facts.get("batch_size") or profile.facts.get("loader_batch_size") or "unknown",
            "processes": profile.facts.get("world_size"),
        }),
    )  # fmt: skip


def _timing(record: Mapping[str, Any]) -> Mapping[str, Any]:
    timing = record.get("timing")
    return timing if isinstance(timing, dict) else {}


def _moment(stamp: Any) -> str:
    """``2026-11-27 14:03:12 UTC`` of run.json's ``2026-11-27T14:03:12+00:00``."""
    return stamp.replace("T", " ").replace("+00:00", " UTC") if isinstance(stamp, str) else "unknown"


def rules(profile: Profile, found: Found) -> str:
    """Every rule with what it saw, the found ones first and open."""
    order = sorted(
        found.verdicts,
        key=lambda name: (
            found.triggered.index(name) if found.verdicts[name].triggered else len(found.verdicts),
            not found.verdicts[name].looked,
        ),
    )
    triggered = len(found.triggered)
    could = sum(verdict.looked for verdict in found.verdicts.values())
    said = f"{triggered} of {len(order)} rules found something; {could} could look."
    entries = "\n".join(_rule(profile, found.verdicts[name], name) for name in order)
    return section("rules", "Rules", paragraph(said), entries, long=True)


def _rule(profile: Profile, verdict: Verdict, name: str) -> str:
    kind, word = ("found", "found") if verdict.triggered else ("fine", "nothing found")
    if not verdict.looked:
        kind, word = "none", "did not look"
    elif not RULES[name].recommends:
        kind, word = "none", "statistics"
    rule, counts = RULES[name], profile.rules.get(name, {})
    parameters = profile.settings.rules[name]
    times = counts.get("triggered", 0) if verdict.triggered else 0
    entries: dict[str, object] = {
        "checks": rule.checks,
        **({"usually helps": rule.recommends} if rule.recommends else {}),
        "times found": f"{times} of {counts.get('scans', 0)} looks",
        "datapoints": f"{verdict.datapoints:,}",
        "parameters": ", ".join(f"{key} {value}" for key, value in parameters.items()) or "none",
    }
    head = f'<strong>{text(name)}</strong><span class="badge {kind}">{word}</span> {words(verdict.sentence)}'
    advice = paragraph(verdict.advice, "advice") if verdict.triggered else ""
    opened = " open" if verdict.triggered else ""
    return f"<details{opened}><summary>{head}</summary>{advice}{facts(entries)}</details>"


def says(found: Found, *names: str) -> str:
    """The sentences of these rules, with their advice where they found something."""
    lines = []
    silent: dict[str, list[str]] = {}  # reason -> rules
    for name in names:
        verdict = found.verdicts.get(name)
        if verdict is None:
            silent.setdefault("switched off", []).append(name)
        elif not verdict.looked:
            silent.setdefault(verdict.sentence, []).append(name)
        else:
            lines.append(paragraph(sentence(verdict.sentence)))
            if verdict.triggered:
                lines.append(paragraph(verdict.advice, "advice"))
    lines += [paragraph(sentence(f"{' and '.join(rules)} did not look: {why}"), "soft")
              for why, rules in silent.items()]  # fmt: skip
    return "".join(lines)
