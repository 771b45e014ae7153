"""Sections from what else lies in the run folder: metric curves, debugger findings, the run itself."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.report.charts import Curve, curves
from sweepmaker.profiler.report.markup import facts, paragraph, section, sentence, table
from sweepmaker.profiler.series import Floats

_MOST = 100_000  # rows of metrics.csv that are read
_PLACES = ("epoch", "step", "seconds")
_PLOTS = 8


def curves_of(path: Path, record: Mapping[str, Any]) -> str:
    """Learning rate, losses and metrics by step; train and valid of one name in one plot."""
    columns = _columns(path)
    objective = record.get("objective") if isinstance(record.get("objective"), dict) else {}
    said = "Nothing was logged."
    if objective and objective.get("value") is not None:
        said = f"Best {objective.get('name')}: {objective['value']:.4g}, in epoch {objective.get('epoch')}."
    elif columns:
        said = "The curves that were logged."
    once = {name: values[np.isfinite(values)] for name, values in columns.items() if name not in _PLACES}
    if columns and all(len(values) <= 1 for values in once.values()):  # a curve of one point is none
        rows = [(name, f"{values[0]:.4g}") for name, values in once.items() if len(values)]
        return section("learning", "Learning", paragraph(said), table(("after one epoch", "value"), rows))
    groups: dict[str, list[str]] = {}
    for name in columns:
        if name not in _PLACES and not name.endswith("_best"):
            groups.setdefault(name.rpartition("/")[2], []).append(name)
    first = sorted(groups, key=lambda name: (name != "loss", name != "lr"))[:_PLOTS]
    plots = []
    for group in first:
        shown = []
        for name in groups[group]:
            step, values = columns.get("step", np.zeros_like(columns[name])), columns[name]
            there = np.isfinite(values) & np.isfinite(step)
            if there.any():
                shown.append(Curve(name, step[there], values[there]))
        plots.append(curves(group, shown, unit=lambda value: f"{value:.3g}",
                            across=lambda value: f"step {value:.0f}", small=True))  # fmt: skip
    return section("learning", "Learning", paragraph(said), *plots, long=True)


def _columns(path: Path) -> dict[str, Floats]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row, _ in zip(csv.DictReader(file), range(_MOST), strict=False)]
    except (OSError, ValueError, csv.Error):
        return {}
    names = [name for name in (rows[0] if rows else {}) if name]
    return {name: np.array([_number(row.get(name)) for row in rows]) for name in names}


def _number(cell: object) -> float:
    try:
        return float(str(cell))
    except ValueError:
        return float("nan")


def debugger(findings: Mapping[str, Any]) -> str:
    """What the debugger's rules found, as it left it in ``debugger/findings.json``."""
    rules = findings.get("rules")
    if not isinstance(rules, dict) or not rules:
        return section("debugger", "Debugger", paragraph("This run has no findings of the debugger.", "soft"))
    rows = []
    for name, rule in rules.items():
        if not isinstance(rule, dict):
            continue
        listed = rule.get("findings")
        listed = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        if not listed:
            continue
        first = listed[0]
        said = " ".join(sentence(str(first.get(key) or "")) for key in ("meaning", "advice")).strip()
        if first.get("override"):
            said += f" Try {first['override']}."
        rows.append((name, rule.get("count", len(listed)), first.get("step"), first.get("where") or "", said))
    quiet = len(rules) - len(rows)
    said = f"{len(rows)} of {len(rules)} rules found something." if rows else f"{quiet} rules found nothing."
    shown = (
        table(("rule", "times", "first at step", "where", "what it means"), rows, wordy=(3, 4))
        if rows
        else ""
    )
    return section("debugger", "Debugger", paragraph(said), shown)


def about(record: Mapping[str, Any], profile: Profile) -> str:
    """What the run was: overrides, choices, versions, hardware."""
    hardware, versions = _dict(record, "hardware"), _dict(record, "versions")
    git = _dict(record, "git")
    overrides = record.get("overrides") or []
    entries: dict[str, object] = {
        "overrides": " ".join(map(str, overrides)) or "none",
        "CPU": f"{hardware.get('cpu', 'unknown')}, usable cores: {profile.facts.get('cores')}",
        "memory": f"{hardware.get('memory_gib', '?')} GiB",
        "GPUs": ", ".join(map(str, profile.facts.get("gpus") or [])) or "none",
        "precision": profile.facts.get("precision"),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) or "unknown",
        "commit": f"{git.get('commit', 'unknown')}{' (changed)' if git.get('dirty') else ''}",
        "samples": f"one each {1000 * profile.settings.sample_s:.0f} ms; raw series: profiler/series.json",
    }
    if profile.facts.get("gpu_problem"):
        entries["GPUs are not sampled"] = profile.facts["gpu_problem"]
    if profile.facts.get("counters_missing"):
        entries["counters that failed"] = ", ".join(map(str, profile.facts["counters_missing"]))
    choices = _dict(record, "choices")
    lines = [(name, str(each.get("value")), str(each.get("reason"))) for name, each in choices.items()
             if isinstance(each, dict)]  # fmt: skip
    chosen = (
        "<h3>Chosen automatically</h3>" + table(("what", "value", "why"), lines, wordy=(1, 2))
        if lines
        else ""
    )
    note = paragraph(
        "In a notebook: from IPython.display import IFrame; IFrame('profiler/report.html', 900, 700)", "soft"
    )
    return section("run", "Run", facts(entries), chosen, note)


def _dict(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return value if isinstance(value, dict) else {}
