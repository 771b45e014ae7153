"""How evenly the processes of one run share the work: each tells its own seconds to all."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from lightning.pytorch import Trainer

from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.profile import Profile

SHARES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
WATCHED = ("cpu", "iowait", "memory", "gpu", "gpu_memory")
_FIGURES = tuple(f"{name}_{share}" for name in WATCHED for share in SHARES)
_NAMES = (*PHASES, "node", *_FIGURES)


def gather(trainer: Trainer, clock: StepClock, profile: Profile | None) -> list[dict[str, float]]:
    """Seconds of every process by phase, in the order of their ranks; every process has to call it.

    Through the run's own process group: it reaches other machines, waits for the slowest, and leaves no
    file that a later process of the run could take for its own.

    Args:
        profile: of this process's machine, where it is the one that watches it: its figures in percent
            (``cpu_p95``, ...) stand beside the seconds then.
    """
    if trainer.world_size == 1:
        return []
    device = trainer.strategy.root_device
    known = {**dict(zip(PHASES, clock.training, strict=True)), "node": float(trainer.node_rank)}
    known |= {} if profile is None else figures(profile)
    mine = [known.get(name, math.nan) for name in _NAMES]
    every = trainer.strategy.all_gather(torch.tensor(mine, dtype=torch.float32, device=device))
    return [
        {name: value for name, value in zip(_NAMES, rank, strict=True) if not math.isnan(value)}
        for rank in every.cpu().tolist()
    ]


def figures(profile: Profile) -> dict[str, float]:
    """Percentiles while training of one machine's counters, of all its GPUs together."""
    found = {}
    for name in WATCHED:
        ending = "_memory" if name == "gpu_memory" else ""
        channels = [f"{gpu}{ending}" for gpu in profile.gpus] if name.startswith("gpu") else [name]
        for share, place in SHARES.items():
            values = [profile.loads.quantile(each, place) for each in channels if profile.loads.count(each)]
            if values:
                found[f"{name}_{share}"] = sum(values) / len(values)
    return found


def machines(ranks: list[dict[str, float]]) -> dict[int, Mapping[str, float]]:
    """The figures of every machine that told them, by its number."""
    return {int(rank["node"]): rank for rank in ranks if any(name in rank for name in _FIGURES)}
