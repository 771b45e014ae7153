"""Sections about the training loop: its phases, its steps, its data."""

from __future__ import annotations

from typing import Any

from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.phases import NAMES, PHASES
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.report.charts import Curve, curves, histogram, parts
from sweepmaker.profiler.report.markup import facts, paragraph, seconds, section, table
from sweepmaker.profiler.report.overview import says


def split(profile: Profile, found: Found, operators: dict[str, Any]) -> str:
    """Seconds of each phase, and the operators where they were recorded."""
    shown = {NAMES[phase]: float(profile.totals[place]) for place, phase in enumerate(PHASES)}
    forward, backward = shown["forward"], shown["backward"]
    remarks = []
    if forward + backward and max(forward, backward) > 0.7 * (forward + backward):
        more = "forward" if forward > backward else "backward"
        remarks.append(f"Of forward and backward, {more} takes over 70 %.")
    if profile.gpus:
        remarks.append(
            "These are seconds of the Python process: a GPU works on after a call, and waiting for it "
            "shows where a result is first needed."
        )
    ordered = dict(sorted(shown.items(), key=lambda item: -item[1]))
    tables = [_operators(operators.get(device), device.upper()) for device in ("cpu", "gpu")]
    if not any(tables):
        tables = [
            paragraph("Operators were not recorded; profiler.trace=true does so for a few steps.", "soft")
        ]
    else:
        tables.append(paragraph("profiler/trace.json.gz opens in ui.perfetto.dev.", "soft"))
    return section(
        "split", "Where the time went",
        says(found, "OverallFrameworkMetrics", "StepOverhead", "ValidationTime", "CheckpointTime"),
        *(paragraph(remark) for remark in remarks),
        parts("Training, validation and checkpoints", ordered), *tables,
    )  # fmt: skip


def _operators(rows: Any, device: str) -> str:
    if not isinstance(rows, list) or not rows:
        return ""
    lines = [
        (str(row.get("name")), f"{float(row.get('percent', 0)):.1f} %",
         seconds(float(row.get("microseconds", 0)) / 1e6), f"{int(row.get('calls', 0)):,}")
        for row in rows if isinstance(row, dict)
    ]  # fmt: skip
    return f"<h3>{device} operators</h3>" + table(("operator", "own time", "", "calls"), lines)


def steps(profile: Profile, found: Found) -> str:
    """How long steps took: over time, as a distribution, and the outliers."""
    series, names = profile.steps, profile.durations
    curve = Curve("step", series.time, series.mean("step"), series.low("step"), series.high("step"))
    shares = {
        "median": 0.5,
        "95th percentile": 0.95,
        "99th percentile": 0.99,
        "shortest": 0.0,
        "longest": 1.0,
    }
    quantiles = {word: seconds(names.quantile("step", share)) for word, share in shares.items()}
    outliers = ""
    if profile.outliers.kept:
        lines = [
            (f"{step:,}", seconds(time), seconds(each)) for step, time, each in profile.outliers.kept[:10]
        ]
        outliers = "<h3>First outliers</h3>" + table(("step", "at", "took"), lines)
    return section(
        "steps", "Steps", says(found, "StepOutlier", "MaxInitializationTime"),
        facts(quantiles) if names.count("step") else paragraph("No step was measured.", "soft"),
        curves("Duration of a step over the run (band: shortest to longest)", [curve], unit=seconds),
        histogram("How often which duration came", names.edges, names.counts("step"), unit=seconds), outliers,
    )  # fmt: skip


def data(profile: Profile, found: Found) -> str:
    """Whether training waits for its batches, and who makes them."""
    known = profile.facts
    waits, series = profile.durations, profile.steps
    mean, low, high = (of("data_wait") for of in (series.mean, series.low, series.high))
    over_time = "Wait for a batch over the run (band: shortest to longest)"
    return section(
        "data", "Data loading", says(found, "DataWait", "Dataloader"),
        facts({
            "workers": _or(known.get("loader_num_workers")),
            "cores": _or(known.get("cores")),
            "pinned memory": _or(known.get("loader_pin_memory")),
            "batches ahead of each worker": _or(known.get("loader_prefetch_factor"), "none without workers"),
            "decoded images": "from data.cache=disk" if known.get("cache") == "disk" else "not cached",
        }),
        curves(over_time, [Curve("wait", series.time, mean, low, high)], unit=seconds,
               small=True),
        histogram("How often which wait came", waits.edges, waits.counts("data_wait"), unit=seconds,
                  number=1),
    )  # fmt: skip


def _or(value: object, nothing: str = "unknown") -> object:
    return nothing if value is None else value
