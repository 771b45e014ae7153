"""How evenly the processes of one run share the work: each leaves its own seconds in a small file."""

from __future__ import annotations

import json
from pathlib import Path

from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.phases import PHASES
from sweepmaker.run import atomic


def write(folder: Path, rank: int, clock: StepClock) -> None:
    """Keep this process's seconds in each phase.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = dict(zip(PHASES, clock.training, strict=True))
    atomic.write_json(folder / f"rank{rank}.json", content)


def read(folder: Path, world_size: int) -> list[dict[str, float]]:
    """Seconds of every process by phase; none where one is missing, as after an interruption."""
    found = []
    for rank in range(world_size if world_size > 1 else 0):
        path = folder / f"rank{rank}.json"
        if not path.is_file():
            return []
        content = json.loads(path.read_text(encoding="utf-8"))
        found.append({phase: float(content[phase]) for phase in PHASES})
    return found
