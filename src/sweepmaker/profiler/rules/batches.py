"""How much larger a batch may be: it has to fit into the memory, and an epoch has to keep some steps."""

from __future__ import annotations

import numpy as np

from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.rules.verdict import word

_ROOM = ((20.0, 4.0), (45.0, 2.0), (60.0, 1.5))  # percent of the memory in use: times the batch that fits
_CPU_FULL = 80.0  # percent of the machine's memory that such a batch may fill
_LEAST_STEPS = 8  # of an epoch; with fewer it learns too seldom, and a batch larger than the data is none
_MOST = 4.0  # times the batch of now: a larger leap changes what is learned too much at once


def larger_batch(profile: Profile) -> str | None:
    """``batch_size=N``, or None where no larger one fits or the run does not know the key."""
    now = profile.facts.get("batch_size") or profile.facts.get("loader_batch_size")
    if not isinstance(now, int):
        return None
    times = room(profile)
    wanted = int(times * now)
    together = profile.facts.get("accumulate")
    if isinstance(together, int) and together > 1:
        # fewer batches for each optimizer step: faster, and what is learned stays the same
        times = next((each for each in (int(times), 2) if each > 1 and together % each == 0), 0)
        larger = word(profile, "batch_size", times * now)
        return f"{larger} trainer.accumulate_grad_batches={together // times}" if times and larger else None
    return word(profile, "batch_size", wanted) if wanted > now else None


def room(profile: Profile) -> float:
    """How many times the batch of now would fit, at most 4; 1: no larger one."""
    fits = _fits_cpu(profile) if profile.facts.get("accelerator") == "cpu" else _fits_gpus(profile)
    steps = profile.facts.get("steps_per_epoch")
    keeps = steps / _LEAST_STEPS if isinstance(steps, int) else _MOST
    if profile.facts.get("accumulate", 1) > 1:
        keeps = _MOST  # a larger batch with fewer of them together: as many steps as before
    return next((times for times in (_MOST, 2.0, 1.5) if times <= min(fits, keeps)), 1.0)


def _fits_gpus(profile: Profile) -> float:
    """Memory that nobody read (another accelerator, a driver that does not answer) may be full."""
    channels = [f"{name}_memory" for name in profile.gpus]
    if not channels or not all(profile.loads.count(name) for name in channels):
        return 1.0
    used = max(profile.loads.quantile(name, 0.95) for name in channels)
    return next((times for limit, times in _ROOM if used < limit), 1.0)


def _fits_cpu(profile: Profile) -> float:
    """At worst all of the run's own memory grows with the batch; what others use does not."""
    if not profile.loads.count("memory"):
        return 1.0
    used = profile.loads.quantile("memory", 0.95)
    own, whole = used, profile.facts.get("memory_gib")
    if profile.system.has("process_memory") and isinstance(whole, int | float) and whole > 0:
        # of this process and its children; its like that somebody else started are not seen, and grow as well
        seen = 1 if profile.facts.get("whole", True) else profile.facts.get("processes", 1)
        own = min(own, 100 * seen * float(np.nanmax(profile.system.high("process_memory"))) / whole)
    return next((times for _, times in _ROOM if used + (times - 1) * own <= _CPU_FULL), 1.0)
