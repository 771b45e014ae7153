"""Rules about the machine as a whole: its statistics, and a CPU that has cores to spare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sweepmaker.profiler import ranks
from sweepmaker.profiler.phases import CALLBACKS, LOOP, OPTIMIZER, PHASES, STEP
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.batches import larger_batch
from sweepmaker.profiler.rules.gpu import box
from sweepmaker.profiler.rules.loading import own_cores
from sweepmaker.profiler.rules.verdict import Verdict, knows, many, not_looked, too_short, word

OTHERS = 20.0  # percent of the cores, from where other programs make a run's times longer than they need be
_BUSY = 70.0  # percent of a GPU (median), from where a step is not too small for it
WORK = ("data_wait", "transfer", "forward", "backward", "optimizer")


def system_usage(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Highest, p99, p95, p50 and lowest of everything that is sampled; never fires."""
    if not len(profile.system):
        return not_looked("nothing was sampled")
    details: dict[str, Any] = dict(statistics(profile))
    cpu = details.get("cpu")
    sentence = "The CPU could not be read."
    if cpu is not None:
        sentence = (
            f"The cores were used to {cpu['p50']:.0f} % (median), {cpu['p95']:.0f} % (95th percentile)."
        )
    if profile.others >= OTHERS:
        sentence += f" Other programs used {profile.others:.0f} % of them: alone the run would be faster."
    if len(nodes := ranks.machines(profile.ranks)) > 1:
        details["nodes"] = {f"node-{number}": dict(found) for number, found in nodes.items()}
    return Verdict(False, sentence, datapoints=profile.samples, details=details)


def statistics(profile: Profile) -> dict[str, dict[str, float]]:
    """max, p99, p95, p50, min of each channel: while training for percentages, else of the whole run.

    The latter's percentiles are those of the means of `Series`' buckets: single readings are not kept.
    """
    found = {}
    for name in profile.system.names:
        if profile.loads.count(name):
            quantiles = {f"p{share}": profile.loads.quantile(name, share / 100) for share in (99, 95, 50)}
            ends = {"max": profile.loads.quantile(name, 1.0), "min": profile.loads.quantile(name, 0.0)}
            found[name] = {"max": ends["max"], **quantiles, "min": ends["min"]}
        elif profile.system.has(name):
            means = profile.system.mean(name)
            p99, p95, p50 = (float(each) for each in np.nanpercentile(means, (99, 95, 50)))
            high, low = (
                float(np.nanmax(profile.system.high(name))),
                float(np.nanmin(profile.system.low(name))),
            )
            found[name] = {"max": high, "p99": p99, "p95": p95, "p50": p50, "min": low}
    return found


def cpu_underutilised(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """On a machine without a GPU: cores stay idle although training does not wait for data."""
    if profile.facts.get("accelerator") != "cpu":
        return not_looked("the run used an accelerator: the rules about GPUs look at it")
    if (early := too_short(profile, parameters)) is not None:
        return early
    window = profile.window("cpu", parameters["window_s"])
    if not len(window):
        return not_looked("the CPU could not be read")
    high = float(np.percentile(window, 95))
    cores, threads = int(profile.facts.get("cores") or 1), int(profile.facts.get("threads") or 1)
    own = own_cores(profile)
    details = {"cpu": box(profile, "cpu"), "cpu_95": high, "cores": cores, "threads": threads}
    each = f" in each of {cores // own} processes" if own < cores else ""
    by = f"{many(cores, 'core')}, {many(threads, 'thread')}{each}"
    sentence = f"The CPU was used to less than {high:.0f} % in 95 % of the time ({by})."
    waits = 100 * profile.share("data_wait") > parameters["data_wait"]
    if high >= parameters["threshold_p95"] or cores == 1 or waits:
        return Verdict(False, sentence, datapoints=len(window), details=details)
    if threads < own:
        override = word(profile, "trainer.threads", own)
        advice = f"Let the run use all cores: trainer.threads={own}; or a smaller instance."
    else:
        override = larger_batch(profile)
        advice = (
            "The steps are too small to be shared out to the cores: a larger batch, or a smaller instance."
        )
    return Verdict(True, sentence, advice, override, gain=min(2.0, 100 / max(high, 10.0)),
                   datapoints=len(window), details=details)  # fmt: skip


def step_overhead(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Steps are so small that most of their time goes to what surrounds the model.

    Not where a GPU is busy: the process waits for it wherever a result is first read, a progress bar's
    ``.item()`` say, and that is a callback's time.
    """
    if profile.count < parameters["least_steps"]:
        return not_looked(
            f"{profile.count} steps, at least {parameters['least_steps']} are needed", profile.count
        )
    work = sum(float(profile.totals[PHASES.index(phase)]) for phase in WORK)
    around = 100 * (1 - work / profile.training_s) if profile.training_s else 0.0
    median = profile.durations.quantile("step", 0.5)
    details = {"around_percent": round(around, 2), "median_step_s": median,
               "seconds": {PHASES[place]: float(profile.totals[place]) for place in STEP}}  # fmt: skip
    sentence = (
        f"{around:.0f} % of the training time went to callbacks and the loop around the model "
        f"(limit: {parameters['threshold']:g} %)"
    )
    # nan where no step was like the others: one an epoch, say
    sentence += "." if np.isnan(median) else f", a step takes {1000 * median:.3g} ms."
    short = median < parameters["least_step_ms"] / 1000
    busy = max((profile.loads.quantile(name, 0.5) for name in profile.gpus if profile.loads.count(name)),
               default=0.0)  # fmt: skip
    images, fixed = profile.facts.get("batch_size"), _fixed(profile)
    few = isinstance(images, int) and images <= parameters["few_images"] and fixed > parameters["fixed"]
    if busy >= _BUSY or (around <= parameters["threshold"] and not short and not few):
        return Verdict(False, sentence, datapoints=profile.count, details=details)
    if around <= parameters["threshold"] and few:
        around = fixed
        sentence = (
            f"With a batch of {images}, {fixed:.0f} % of the training time went to what a batch of any size "
            f"costs as well (optimizer, callbacks, loop; limit: {parameters['fixed']:g} %)."
        )
    override = larger_batch(profile)
    advice = "A step is too small for what surrounds it: raise the batch size, and the learning rate with it."
    if not knows(profile, "batch_size"):
        advice += " Dear callbacks of your own should do their work less often."
    gain = 1 / max(1 - 0.75 * around / 100, 0.25) * (1.5 if median < 0.001 else 1.0)
    return Verdict(True, sentence, advice, override, gain=min(3.0, gain),
                   datapoints=profile.count, details=details)  # fmt: skip


def _fixed(profile: Profile) -> float:
    """Percent of the training time that does not depend on how many images a step has."""
    seconds = sum(float(profile.totals[phase]) for phase in (OPTIMIZER, CALLBACKS, LOOP))
    return 100 * seconds / profile.training_s if profile.training_s else 0.0
