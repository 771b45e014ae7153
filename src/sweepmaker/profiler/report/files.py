"""The files of a report, each written so that no reader sees half of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.profile import FOLDER, OPERATORS, Profile
from sweepmaker.run import atomic, untrusted

VERSION = 1
_LARGEST = 1_000_000  # bytes of operators.json


def write(run: Path, profile: Profile, found: Found, state: str, folder: Path | None = None) -> None:
    """Write ``reports/<Rule>.json``, ``summary.json`` and ``report.html``.

    Args:
        run: the run folder.
        state: how the run ended.
        folder: gets the files; None: the run's ``profiler``.

    Raises:
        OSError: a file cannot be written.
    """
    folder = folder or run / FOLDER
    (folder / "reports").mkdir(parents=True, exist_ok=True)
    for name in found.verdicts:
        content = of_rule(profile, found, name)
        if name == "OverallFrameworkMetrics":
            content["Details"] |= _ratio(folder / OPERATORS)
        atomic.write_json(folder / "reports" / f"{name}.json", content)
    atomic.write_json(folder / "summary.json", summary(profile, found, state))
    from sweepmaker.profiler.report import page

    atomic.write_text(folder / "report.html", page.build(run, profile, found, state))


def of_rule(profile: Profile, found: Found, name: str) -> dict[str, Any]:
    """With the keys of AWS's reports, so that tools that read those go on working, and what we add."""
    verdict, counts = found.verdicts[name], profile.rules.get(name, {})
    parameters = profile.settings.rules[name]
    return {
        "RuleTriggered": int(counts.get("triggered", 0)) if verdict.triggered else 0,
        "Violations": int(counts.get("violations", 0)),
        "Details": dict(verdict.details),
        "Datapoints": verdict.datapoints,
        "RuleParameters": "\n".join(f"{key}:{value}" for key, value in parameters.items()),
        "Sentence": verdict.sentence,
        "Advice": verdict.advice,
        "Override": verdict.override,
        "Looked": verdict.looked,
    }


def _ratio(operators: Path) -> dict[str, Any]:
    """Microseconds of all operators on CPU and GPU, and each one's percent, where they were recorded."""
    found = untrusted.read_object(operators, _LARGEST).get("total")
    if not isinstance(found, dict):
        return {}
    spent = {device: found.get(device) for device in ("cpu", "gpu")}
    known = {device: float(value) for device, value in spent.items() if isinstance(value, int | float)}
    total = sum(known.values())
    ratio = {f"{device.upper()}": 100 * value / total for device, value in known.items()} if total else {}
    return {"ratio": ratio} | {f"{device.upper()}_total": value for device, value in known.items()}


def summary(profile: Profile, found: Found, state: str) -> dict[str, Any]:
    """What other programs read of a profile."""
    split = dict(zip(PHASES, profile.totals.tolist(), strict=True))
    split |= {name: profile.phases_of_run[name] for name in ("initialisation", "finalisation")}
    step = ("transfer", "forward", "backward", "optimizer", "callbacks", "loop")
    return {
        "version": VERSION,
        "state": state,
        "preset": profile.settings.preset,
        "unwatched": profile.unwatched,
        "split": {"training_step": sum(split[name] for name in step), **split},
        "images_per_second": profile.images / profile.training_s if profile.training_s else None,
        "steps": profile.count,
        "sentences": [line.removeprefix("profile: ") for line in found.sentences],
        "override": found.override,
        "rules": {
            name: {"triggered": verdict.triggered, "looked": verdict.looked, "sentence": verdict.sentence,
                   "override": verdict.override if verdict.triggered else None}
            for name, verdict in found.verdicts.items()
        },
    }  # fmt: skip
