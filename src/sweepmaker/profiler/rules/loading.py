"""Rules about data: does training wait for its batches, and are there workers to make them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.batches import larger_batch
from sweepmaker.profiler.rules.verdict import Verdict, knows, many, not_looked, word

_HAND_OVER_S = 5e-4  # seconds that a worker process needs at least to pass a batch on


def data_wait(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Training waits for its next batch in more than so many percent of its time."""
    if profile.count < parameters["least_steps"]:
        return not_looked(
            f"{profile.count} steps, at least {parameters['least_steps']} are needed", profile.count
        )
    share = 100 * profile.share("data_wait")
    waits = profile.durations
    details = {
        "data_wait_percent": round(share, 2),
        "p50_s": waits.quantile("data_wait", 0.5),
        "p95_s": waits.quantile("data_wait", 0.95),
        **_loader(profile),
    }
    sentence = (
        f"Training waited for data in {share:.0f} % of its time (limit: {parameters['threshold']:g} %)."
    )
    if share <= parameters["threshold"]:
        return Verdict(False, sentence, datapoints=profile.count, details=details)
    override, advice = faster_data(profile)
    return Verdict(True, sentence, advice, override, gain=_gain(profile),
                   datapoints=profile.count, details=details)  # fmt: skip


def _gain(profile: Profile) -> float:
    return profile.gain(profile.share("data_wait") * profile.training_s)


def dataloader(profile: Profile, parameters: Mapping[str, Any]) -> Verdict:
    """Too many worker processes for the cores; too few only where training waits for data.

    AWS's rule counts workers alone, so it fires on every run that loads nothing from disk; without
    ``data_wait`` among the parameters ours does so too.
    """
    workers = profile.facts.get("loader_num_workers")
    if not isinstance(workers, int):
        return not_looked("the training loader tells nothing of its workers")
    cores = own_cores(profile)
    details = _loader(profile) | {"cores": cores}
    waits = 100 * profile.share("data_wait") > parameters.get("data_wait", -1.0)
    few = workers < cores * parameters["min_threshold"] / 100 and waits
    crowded = workers > cores * parameters["max_threshold"] / 100
    sentence = f"{many(workers, 'worker process', 'es')} for images, on {many(cores, 'core')}."
    if workers == 0:
        sentence = f"Images are loaded by the training process itself, on {many(cores, 'core')}."
    if profile.facts.get("features"):
        sentence = "Features come from memory: there is nothing for workers to do."
        return Verdict(False, sentence, datapoints=profile.count, details=details)
    pinned = profile.facts.get("loader_pin_memory")
    hint = " pin_memory=True lets copies to the GPU overlap." if profile.gpus and pinned is False else ""
    if crowded:
        override = word(profile, "data.num_workers", cores)
        advice = "More workers than cores take turns on them: use fewer." + hint
        return Verdict(True, sentence, advice, override, datapoints=profile.count, details=details)
    if few:
        override, advice = more_workers(profile)
        return Verdict(True, sentence, advice + hint, override, gain=_gain(profile),
                       datapoints=profile.count, details=details)  # fmt: skip
    return Verdict(False, sentence + hint, datapoints=profile.count, details=details)


def faster_data(profile: Profile) -> tuple[str | None, str]:
    """What helps a run that waits for data: workers first, then cheaper images.

    On a CPU workers would take the cores that the model computes on, so there it is the other way round.
    """
    if profile.facts.get("features"):
        override = larger_batch(profile)
        advice = "Features come from memory, by one look-up a batch: a larger batch needs fewer."
        return override, advice + (f" Try {override}." if override else "")
    # with workers batches come in bursts: the usual wait is none where every fourth is a long one
    wait = profile.share("data_wait") * profile.training_s / max(profile.count, 1)
    if _workers(profile) == 0 and wait < _HAND_OVER_S:
        override = larger_batch(profile)
        advice = f"A batch is there after {1e6 * wait:.0f} µs, sooner than a worker could hand it over"
        return override, advice + (f": fewer, larger ones, {override}." if override else ".")
    cached = profile.facts.get("cache") == "disk" or not knows(profile, "data.cache")
    on_cpu = profile.facts.get("accelerator") == "cpu" and not cached
    if profile.facts.get("files") and (on_cpu or _wanted(profile) is None):
        return cheaper_images(profile)
    return more_workers(profile)


def more_workers(profile: Profile) -> tuple[str | None, str]:
    """So many workers that a batch is ready when the step before it is done, as far as there are cores."""
    now, wanted = _workers(profile), _wanted(profile)
    if wanted is None:
        return None, f"{now} workers on these cores do not keep up: an instance with more CPU cores would."
    if knows(profile, "data.num_workers"):
        override = f"data.num_workers={wanted}"
        return override, f"Load images beside the training: {override}."
    return None, f"Give your DataLoader num_workers={wanted} (it has {now}), with persistent_workers=True."


def _workers(profile: Profile) -> int:
    now = profile.facts.get("loader_num_workers")
    return now if isinstance(now, int) else 0


def own_cores(profile: Profile) -> int:
    """Of this process: those on one machine share its cores."""
    return max(1, int(profile.facts.get("cores") or 1) // max(1, int(profile.facts.get("processes") or 1)))


def _wanted(profile: Profile) -> int | None:
    """Workers that would keep up; None where there are as many as the cores carry already."""
    now, wait = _workers(profile), profile.share("data_wait")
    # a worker may wait for a disk or a network instead of computing: two are worth a try on any machine
    most = max(2, own_cores(profile))
    ratio = wait / max(1 - wait, 1e-3)  # of waiting to working; a worker more makes up for a whole one
    needed = math.ceil(ratio + 1 if now == 0 else now * (ratio + 1.5))
    wanted = min(max(needed, now + 1, 2), most)
    return wanted if wanted > now else None


def cheaper_images(profile: Profile) -> tuple[str | None, str]:
    """Decode every image once, where it is not done yet and there are files to decode."""
    if profile.facts.get("files") and profile.facts.get("cache") != "disk" and knows(profile, "data.cache"):
        return "data.cache=disk", "Decode every image once for all epochs: data.cache=disk."
    if profile.facts.get("augment") and not profile.facts.get("features"):
        override = "data.augment.trivial_augment=false"
        return override, f"TrivialAugment is dear; without it: {override}."
    return None, "Make images cheaper to load (smaller files, a local disk), or take more CPU cores."


def _loader(profile: Profile) -> dict[str, Any]:
    names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor", "batch_size")
    return {name: profile.facts.get(f"loader_{name}") for name in names}
