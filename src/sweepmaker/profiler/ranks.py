"""How evenly the processes of one run share the work: each tells its own seconds to all."""

from __future__ import annotations

import torch
from lightning.pytorch import Trainer

from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.phases import PHASES


def gather(trainer: Trainer, clock: StepClock) -> list[dict[str, float]]:
    """Seconds of every process by phase, in the order of their ranks; every process has to call it.

    Through the run's own process group: it reaches other machines, waits for the slowest, and leaves no
    file that a later process of the run could take for its own.
    """
    if trainer.world_size == 1:
        return []
    device = trainer.strategy.root_device
    mine = torch.tensor(clock.training, dtype=torch.float32, device=device)
    every = trainer.strategy.all_gather(mine)
    return [dict(zip(PHASES, rank, strict=True)) for rank in every.cpu().tolist()]
