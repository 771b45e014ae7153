"""Rules about the course of a run: its start, its unusual steps, its ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sweepmaker.profiler.outliers import ENOUGH
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.loading import faster_data
from sweepmaker.profiler.rules.overall import OTHERS
from sweepmaker.profiler.rules.verdict import Verdict, not_looked
from sweepmaker.profiler.series import Histogram

_CURE = {
    "data_wait": "Some batches take long to load: look at the files, the disk and the number of workers.",
    "callbacks": "A callback does something dear every now and then: do it less often, or at epoch ends.",
    "loop": "Something between the steps takes long now and then: logging, or the machine itself.",
    "forward": "Look at what training_step does only every few steps (pictures, .item(), prints).",
}


def initialization(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """More than so many minutes went by before the first step."""
    starts = profile.starts or [profile.phases_of_run["initialisation"]]
    seconds = max(starts)  # of a run that was continued: each process has a start of its own
    details = {
        "initialisation_s": round(seconds, 3), "starts_s": [round(each, 3) for each in starts],
        "training_s": round(profile.phases_of_run["training"], 3),
        "finalisation_s": round(profile.phases_of_run["finalisation"], 3),
    }  # fmt: skip
    limit = 60 * parameters["threshold"]
    where = f" in the longest of {len(starts)} starts" if len(starts) > 1 else ""
    before = "before the first step" if profile.count else "and there was no first step"
    sentence = f"{seconds:.1f} s went by {before}{where} (limit: {limit:g} s)."
    if seconds <= limit:
        return Verdict(False, sentence, datapoints=1, details=details)
    total = max(profile.seconds, 1e-9)
    return Verdict(
        True, sentence,
        "Look at what happens there: weights or data that are fetched (FastFile instead of File mode on "
        "SageMaker), a cache that is built once (data.cache=disk keeps it), torch.compile.",
        gain=1 / max(1 - seconds / total, 0.2), datapoints=1, details=details,
    )  # fmt: skip


def outliers(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """More than so many steps took far longer than the others, and it costs something."""
    count = profile.durations.count("step")
    if count < ENOUGH:
        return not_looked(f"{count} steps, at least {ENOUGH} are needed", count)
    found = profile.outliers
    lost = 100 * found.excess / profile.training_s if profile.training_s else 0.0
    shares = {f"p{share}": profile.durations.quantile("step", share / 100) for share in (50, 95, 99)}
    details = {
        "mean": found.mean, "stddev": found.spread, **shares,
        "min": profile.durations.quantile("step", 0.0), "max": profile.durations.quantile("step", 1.0),
        "number_of_outliers": found.count, "limit_s": found.limit, "outliers": found.kept,
        "lost_percent": round(lost, 2),
    }  # fmt: skip
    sentence = (
        f"{found.count} of {count} steps took longer than {found.limit:.3g} s "
        f"(median {shares['p50']:.3g} s), which cost {lost:.1f} % of the time."
    )
    if found.count <= parameters["n_outliers"] or lost < parameters.get("least_lost", 0.0):
        return Verdict(False, sentence, datapoints=count, details=details)
    cause = found.cause()
    override, advice = faster_data(profile) if cause == "data_wait" else (None, _CURE.get(cause or "", ""))
    where = f" Most of it went to {cause.replace('_', ' ')}." if cause else ""
    if profile.others >= OTHERS:
        override, advice = None, (
            f"Other programs used {profile.others:.0f} % of the cores, which is enough to make steps uneven: "
            "see whether it is so without them."
        )  # fmt: skip
    fallback = "Look for what happens at those steps: the list is in reports/StepOutlier.json."
    return Verdict(True, sentence + where, advice or fallback, override, gain=profile.gain(found.excess),
                   datapoints=count, details=details)  # fmt: skip


def load_balancing(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """GPUs are used differently (Jensen-Shannon distance), or processes work for different times.

    The managed rule dropped what was above 98 %, so two GPUs at 100 % had nothing to compare.
    """
    pairs = {}
    for one, other in itertools.combinations(profile.gpus, 2):
        if profile.loads.count(one) and profile.loads.count(other):
            pairs[f"{one} {other}"] = distance(profile.loads, one, other)
    busy = [sum(rank[phase] for phase in ("data_wait", "transfer", "forward")) for rank in profile.ranks]
    ahead = max(busy) / (sum(busy) / len(busy)) - 1 if busy and sum(busy) else 0.0
    if not pairs and not busy:
        return not_looked("one process, at most one GPU: there is nothing to balance")
    details = {"distances": pairs, "rank_seconds": profile.ranks}
    apart = parameters.get("least_difference", 0)
    uneven = [
        pair for pair, value in pairs.items()
        if value > parameters["threshold"] and _difference(profile.loads, *pair.split()) >= apart
    ]  # fmt: skip
    slow = ahead > parameters["rank_threshold"]
    seen = []
    if pairs:
        seen.append(
            f"the GPUs' use differs by at most {max(pairs.values()):.2f} (limit {parameters['threshold']:g})"
        )
    if busy:
        seen.append(f"the slowest process works {100 * ahead:.0f} % longer than the mean of all")
    sentence = "; ".join(seen) + "."
    sentence = sentence[:1].upper() + sentence[1:]
    datapoints = profile.samples
    if profile.watched_s < parameters["patience_s"] or not (uneven or slow):
        return Verdict(False, sentence, datapoints=datapoints, details=details)
    return Verdict(
        True, sentence,
        "Give every process the same work (equal shares of the data, images of equal cost), or another "
        "trainer.strategy.", gain=1 + max(0.0, ahead), datapoints=datapoints, details=details,
    )  # fmt: skip


def distance(loads: Histogram, one: str, other: str) -> float:
    """Jensen-Shannon distance of two channels' use in bins of 2 %, natural logarithm: 0 to 0.833."""
    first, second = _shares(loads, one), _shares(loads, other)
    middle = (first + second) / 2
    divergence = (_divergence(first, middle) + _divergence(second, middle)) / 2
    return float(np.sqrt(max(divergence, 0.0)))


def _difference(loads: Histogram, one: str, other: str) -> float:
    """Of the medians, percentage points."""
    return abs(loads.quantile(one, 0.5) - loads.quantile(other, 0.5))


def _shares(loads: Histogram, name: str) -> npt.NDArray[np.float64]:
    counts = np.add.reduceat(loads.counts(name), np.arange(0, len(loads.counts(name)), 4))
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def _divergence(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    there = one > 0
    return float((one[there] * np.log(one[there] / other[there])).sum())


def framework_metrics(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """How a run's time is split; never fires."""
    total = float(profile.totals.sum())
    if not profile.count or not total:
        return not_looked("no step was made")
    shares = {
        phase: 100 * float(seconds) / total for phase, seconds in zip(PHASES, profile.totals, strict=True)
    }
    top = sorted(shares, key=lambda phase: -shares[phase])[:3]
    named = ", ".join(f"{phase.replace('_', ' ')} {shares[phase]:.0f} %" for phase in top)
    both = shares["forward"] + shares["backward"]
    others = shares["loop"] + shares["checkpoint"]
    train, evaluation = 100 - shares["validation"] - others, shares["validation"]
    halves = {name: 100 * shares[name] / both for name in ("forward", "backward")} if both else {}
    details = {
        "phase": {"TRAIN": train, "EVAL": evaluation, "others": others},
        "forward_backward": halves,
        "general": shares,
    }
    return Verdict(False, f"Most of the time went to {named}.", datapoints=profile.count, details=details)
