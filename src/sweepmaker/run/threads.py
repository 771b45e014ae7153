"""CPU threads, set before torch loads: OpenMP reads its settings once.

Two runs that each take every core make each other 8 to 60 times slower, because idle OpenMP threads
spin on cores that the other needs (measured with EfficientNet-B2 on two cores). So runs that are
known to stand side by side share the cores, and wait passively where more than one thread is left to
each; a lone run keeps all cores and spins, which is a third faster for it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.choices import Choices
from sweepmaker.run.environment import available_cores


def choose(cfg: DictConfig, choices: Choices) -> int:
    """Choose the number of threads, and set the environment that OpenMP and MKL read.

    Returns:
        threads of this process; ``torch.set_num_threads`` is still to be called once torch is there.
    """
    cores = available_cores()
    side_by_side = _runs_side_by_side()
    wanted = OmegaConf.select(cfg, "trainer.threads", default="auto")
    given = os.environ.get("OMP_NUM_THREADS")
    if wanted != "auto":
        threads, reason = int(wanted), "trainer.threads"
    elif given and given.isdigit() and int(given) > 0:
        threads, reason = int(given), "OMP_NUM_THREADS is set"
    elif side_by_side > 1:
        threads = max(1, cores // side_by_side)
        reason = f"{cores} cores for {side_by_side} runs side by side"
    else:
        threads, reason = cores, f"a lone run on {cores} cores"
    choices.add("threads", threads, reason)
    if "torch" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        if threads > 1 and side_by_side > 1:
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return threads


def _runs_side_by_side() -> int:
    """How many runs Hydra's launcher has on this machine at a time."""
    if not HydraConfig.initialized():
        return 1
    launcher: Any = HydraConfig.get().launcher
    target = str(launcher.get("_target_", ""))
    if "joblib" in target.lower():
        parallel = int(launcher.get("n_jobs", 1))
        return available_cores() if parallel < 0 else parallel
    if "LocalLauncher" in target:
        return available_cores()  # submitit's local executor starts all runs at once
    return 1
