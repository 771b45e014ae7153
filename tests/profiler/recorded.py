"""Profiles made from series that a machine with GPUs would have given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir

from sweepmaker.profiler import judge, settings
from sweepmaker.profiler.judge import Found
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.settings import Settings

CONF = Path(__file__).resolve().parents[2] / "conf"
Value = float | Callable[[float], float]
FACTS = {
    "keys": ["batch_size", "data.num_workers", "data.cache", "trainer.threads",
             "trainer.check_val_every_n_epoch"], "batch_size": 32, "cores": 4,
    "threads": 4, "accelerator": "cuda", "loader_num_workers": 3, "loader_pin_memory": True, "cache": "none",
    "files": True, "memory_gib": 64.0, "gpus": ["NVIDIA A10G"], "world_size": 1, "precision": "bf16-mixed",
}  # fmt: skip


def preset(name: str = "sane", *overrides: str) -> Settings:
    """The settings of ``profiler=NAME``."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", [f"profiler={name}", *overrides])
    found = settings.read(cfg)
    assert found is not None
    return found


def profile(
    asked: Settings,
    *,
    seconds: float = 300,
    cpu: Value = 40,
    iowait: Value = 0,
    busy: tuple[Value, ...] = (90,),
    memory: Value = 60,
    core: Value | None = None,
    in_use: float = 50.0,
    own_gib: float = 2.0,
    phases: Mapping[str, float] | None = None,
    step: Callable[[int], float] = lambda number: 0.1,
    **facts: Any,
) -> Profile:
    """A run of so many seconds whose counters are constants, or functions of the time.

    Args:
        core: load of the busiest core; None: as ``cpu``.
        in_use: percent of the machine's memory, of which the run has ``own_gib`` GiB.
        phases: share of a step that each phase has.
        step: seconds of a step by its number.
    """
    made = Profile(asked, range(4), len(busy), {**FACTS, **facts})
    random = np.random.default_rng(0)

    def at(value: Value, time: float) -> float:
        exact = value(time) if callable(value) else value
        return float(np.clip(exact + random.normal(0, 1), 0, 100))

    shares = phases or {"data_wait": 0.02, "forward": 0.3, "backward": 0.6, "optimizer": 0.06, "loop": 0.02}
    split = [shares.get(phase, 0.0) for phase in PHASES]
    time, done, at_step, scan = 0.0, 0, 0.0, asked.scan_s
    while time < seconds:
        time += asked.sample_s
        load = at(cpu, time)
        cores = [load, load, load, load if core is None else at(core, time)]
        gpus = [(at(value, time), at(memory, time)) for value in busy]
        wait = at(iowait, time)
        found = {"cpu": load, "iowait": wait, "iowait_max": wait, "memory": in_use, "process_memory": own_gib,
                 "disk_read": 1e6, "net_in": 1e3}  # fmt: skip
        rows = []
        while at_step < time:
            took = step(done)
            rows.append(([took * share for share in split], 32, done % 500 == 0))
            at_step, done = at_step + took, done + 1
        made.add_steps(time, rows)
        made.add_sample(time, found, cores, gpus, training=True)
        if time >= scan:
            made.phases_of_run = {"initialisation": 5.0, "training": time, "finalisation": 1.0}
            judge.scan(made)
            scan += asked.scan_s
    made.phases_of_run = {"initialisation": 5.0, "training": time, "finalisation": 1.0}
    return made


def judged(made: Profile) -> Found:
    """As at the end of a run."""
    judge.scan(made)
    return judge.conclude(made)
