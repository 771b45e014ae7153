"""Rules about GPUs: are they busy, and if not, who keeps them waiting. AWS's names and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.batches import larger_batch, room
from sweepmaker.profiler.rules.verdict import NO_GPU, Verdict, not_looked, too_short
from sweepmaker.profiler.series import Floats

_MORE_TO_DO = (
    "Give the GPU more to do at a time with a larger batch, look for what it waits for, or take a smaller "
    "instance."
)
_NO_ROOM = (
    "Look for what the GPU waits for; there is no room for a larger batch, in its memory or in an epoch."
)


def low_utilization(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """p95 of a GPU's last window below a threshold (underused), or p5 below another one (fluctuating)."""
    if (early := _too_early(profile, parameters)) is not None:
        return early
    low, words = False, []
    details: dict[str, Any] = {}
    p95 = 100.0
    for name in profile.gpus:
        values = profile.window(name, parameters["window_s"])
        if not len(values):
            continue
        high, bottom = _percentiles(values, 95, 5)
        p95 = min(p95, high)
        details[name] = {"gpu_95": high, "gpu_5": bottom} | box(profile, name)
        if high < parameters["threshold_p95"]:
            low = True
            words.append(f"{_label(name)} stays below {high:.0f} % in 95 % of the time")
        elif bottom < parameters["threshold_p5"]:
            low = True
            words.append(f"{_label(name)} goes up and down between {bottom:.0f} % and {high:.0f} %")
    if not low:
        return Verdict(False, _busy_words(profile), datapoints=profile.samples, details=details)
    override = larger_batch(profile)
    return Verdict(
        True, "; ".join(words) + ".",
        (_MORE_TO_DO if room(profile) > 1 else _NO_ROOM) + (f" Try {override}." if override else ""),
        override, gain=min(3.0, 100 / max(p95, 25.0)), datapoints=profile.samples, details=details,
    )  # fmt: skip


def batch_size(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """CPU, GPU and GPU memory all have room (p95 of the last window): the batch could be larger."""
    if (early := _too_early(profile, parameters)) is not None:
        return early
    window = parameters["window_s"]
    cpu = profile.window("cpu", window)
    details: dict[str, Any] = {"cpu": box(profile, "cpu")}
    high = {"cpu": _percentiles(cpu, 95)[0] if len(cpu) else 0.0}
    fires = high["cpu"] < parameters["cpu_threshold_p95"]
    for name in profile.gpus:
        busy, memory = profile.window(name, window), profile.window(f"{name}_memory", window)
        details |= {name: box(profile, name), f"{name}_memory": box(profile, f"{name}_memory")}
        if not len(busy) or not len(memory):
            fires = False
            continue
        high[name], high[f"{name}_memory"] = _percentiles(busy, 95)[0], _percentiles(memory, 95)[0]
        fires = (
            fires
            and high[name] < parameters["gpu_threshold_p95"]
            and high[f"{name}_memory"] < parameters["gpu_memory_threshold_p95"]
        )
    shown = ", ".join(f"{_label(name)} {value:.0f} %" for name, value in high.items())
    if not fires:
        sentence = f"The machine is used well enough for this batch size (95 % of the time below: {shown})."
        return Verdict(False, sentence, datapoints=profile.samples, details=details)
    override = larger_batch(profile)
    busiest = max((high.get(name, 0.0) for name in profile.gpus), default=25.0)
    return Verdict(
        True, f"Everything has room: 95 % of the time below {shown}.",
        "Raise the batch size, and the learning rate with it, or take a smaller instance."
        + (f" Try {override}." if override else ""),
        override, gain=min(4.0, 100 / max(busiest, 25.0)), datapoints=profile.samples, details=details,
    )  # fmt: skip


def cpu_bottleneck(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """In so many percent of the samples a GPU is idle while the CPU is at its limit."""
    return _bottleneck(profile, parameters, "CPUBottleneck", "the CPU was at its limit")


def io_bottleneck(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """In so many percent of the samples a GPU is idle while cores wait for the disk."""
    return _bottleneck(profile, parameters, "IOBottleneck", "the CPU waited for the disk")


def _bottleneck(profile: Profile, parameters: Mapping[str, Any], rule: str, what: str) -> Verdict:
    if (early := _too_early(profile, parameters)) is not None:
        return early
    counts = profile.together.get(rule, {"samples": 0, "low_gpu": 0, "both": 0})
    share = 100 * counts["both"] / counts["samples"] if counts["samples"] else 0.0
    details = {
        "bottlenecks_percent": round(share, 2),
        "low_gpu_utilization": counts["low_gpu"],
        "bottlenecks": counts["both"],
    }
    sentence = (
        f"In {share:.0f} % of the samples a GPU was below {parameters['gpu_threshold']:g} % while {what} "
        f"(limit: {parameters['threshold']:g} %)."
    )
    if share <= parameters["threshold"]:
        return Verdict(False, sentence, datapoints=counts["samples"], details=details)
    from sweepmaker.profiler.rules.loading import cheaper_images, faster_data, more_workers

    override, advice = more_workers(profile)
    full = profile.loads.quantile("cpu", 0.5) >= parameters.get("cpu_threshold", 100.0)
    if profile.facts.get("features"):
        override, advice = faster_data(profile)
    elif rule == "IOBottleneck" or override is None or full:  # full: more workers would only share the cores
        override, advice = cheaper_images(profile)
    return Verdict(True, sentence, advice, override, gain=1 / (1 - min(share, 75.0) / 100),
                   datapoints=counts["samples"], details=details)  # fmt: skip


def memory_increase(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """GPU memory grows: the mean of a window lies above that of the window before it, or it rises steadily.

    The managed rule compared two windows that overlap but for one sample, so that no leak could fire it.
    """
    if (early := _too_early(profile, parameters)) is not None:
        return early
    window = parameters["window_s"]
    grown: dict[str, float] = {}
    compared = False
    details: dict[str, Any] = {}
    for name in profile.gpus:
        channel = f"{name}_memory"
        both, last = profile.window(channel, 2 * window), profile.window(channel, window)
        before = both[: len(both) - len(last)]
        enough = len(last) > 0 and len(before) >= max(1, len(last) // 2)
        jump = float(last.mean() - before.mean()) if enough else 0.0
        slope = _slope(profile, channel)
        compared |= enough or slope is not None
        details[name] = {"increase": jump, "per_minute": slope} | box(profile, channel)
        limit = parameters["per_minute"]
        leaks = limit is not None and slope is not None and slope > limit
        if jump > parameters["increase"] or leaks:
            grown[name] = max(jump, slope or 0.0)
    if not compared:
        return not_looked(f"there is no second window of {window:g} s to compare", profile.samples)
    if not grown:
        return Verdict(False, "GPU memory stays where it is.", datapoints=profile.samples, details=details)
    named = ", ".join(f"{_label(name)} by {value:.1f} points" for name, value in grown.items())
    return Verdict(
        True, f"GPU memory grows: {named}.",
        "Look for tensors that are kept from step to step (a list of losses with their graphs: keep "
        "loss.detach()); near the limit, an instance with more GPU memory.",
        datapoints=profile.samples, details=details,
    )  # fmt: skip


def _slope(profile: Profile, channel: str) -> float | None:
    """Percentage points a minute over the second half of the run; None before ten minutes of it."""
    time, values = profile.system.time, profile.system.mean(channel)
    kept = ~np.isnan(values) & (time > time[-1] / 2) if len(time) else np.zeros(0, dtype=bool)
    if kept.sum() < 10 or time[kept][-1] - time[kept][0] < 300:
        return None
    return float(np.polyfit(time[kept] / 60, values[kept], 1)[0])


def box(profile: Profile, name: str) -> dict[str, Any]:
    """Quartiles and whiskers over the whole training, as AWS's rules have them; percent."""
    if not profile.loads.count(name):
        return {}
    p25, p50, p75, p95 = (profile.loads.quantile(name, share) for share in (0.25, 0.5, 0.75, 0.95))
    low, high = profile.loads.quantile(name, 0.0), profile.loads.quantile(name, 1.0)
    whisker = 1.5 * (p75 - p25)
    return {"p25": p25, "p50": p50, "p75": p75, "p95": p95, "max": high, "min": low,
            "upper": min(p75 + whisker, high), "lower": max(p25 - whisker, low)}  # fmt: skip


def _too_early(profile: Profile, parameters: Mapping[str, Any]) -> Verdict | None:
    if not profile.gpus and profile.facts.get("gpu_problem"):
        return not_looked(f"the GPUs are not sampled ({profile.facts['gpu_problem']})")
    if not profile.gpus:
        return not_looked(NO_GPU)
    if not any(profile.loads.count(name) for name in profile.gpus):
        return not_looked("the GPUs could not be read while training")
    return too_short(profile, parameters)


def _percentiles(values: Floats, *shares: float) -> list[float]:
    return [float(value) for value in np.percentile(values, shares)]


def _label(name: str) -> str:
    return name.replace("_", " ").replace("cpu", "CPU").replace("gpu", "GPU ")


def _busy_words(profile: Profile) -> str:
    medians = ", ".join(f"{_label(name)} {profile.loads.quantile(name, 0.5):.0f} %" for name in profile.gpus)
    return f"The GPUs are busy (median: {medians})."
