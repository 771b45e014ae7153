"""CPU threads, set before torch loads: OpenMP reads its settings once.

Two runs that each take every core make each other 8 to 60 times slower, because idle OpenMP threads
spin on cores that the other needs (measured with EfficientNet-B2 on two cores). So runs that are
known to stand side by side share the cores, and wait passively where more than one thread is left to
each; a lone run keeps all cores and spins, which is a third faster for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import psutil
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.choices import Choices
from sweepmaker.run.environment import available_cores
from sweepmaker.run.sweep import runs_at_once


def choose(cfg: DictConfig, choices: Choices, earlier: dict[str, Any] | None = None) -> int:
    """Choose the number of threads, and set the environment that OpenMP and MKL read.

    Args:
        cfg: the config; ``trainer.threads`` decides where it is not ``auto``.
        choices: gets the choice.
        earlier: ``run.json`` of the process that this one continues: results are only equal with
            as many threads as it had.

    Returns:
        threads of this process; ``torch.set_num_threads`` is still to be called once torch is there.
    """
    cores = available_cores()
    threads, reason, shared = _decide(cfg, cores, earlier)
    choices.add("threads", threads, reason)
    if "torch" not in sys.modules:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = str(threads)
        if threads > 1 and shared:
            os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    return threads


def _decide(cfg: DictConfig, cores: int, earlier: dict[str, Any] | None) -> tuple[int, str, bool]:
    """Threads, the reason, and whether another run is likely to want the same cores."""
    side_by_side = _runs_side_by_side()
    processes = _processes(cfg)
    among = f", for {processes} processes of this run" if processes > 1 else ""
    wanted = OmegaConf.select(cfg, "trainer.threads", default="auto")
    given = os.environ.get("OMP_NUM_THREADS", "")
    before = ((earlier or {}).get("choices") or {}).get("threads")
    if wanted != "auto":
        return int(wanted), "trainer.threads", side_by_side > 1
    if before is not None:
        return int(before["value"]), "as before the interruption", side_by_side > 1
    if side_by_side > 1:  # before OMP_NUM_THREADS, which joblib sets for its workers by itself
        return (
            max(1, cores // side_by_side),
            f"{cores} cores for {side_by_side} runs side by side",
            True,
        )
    if given.isdigit() and int(given) > 0:
        return int(given), "OMP_NUM_THREADS is set", False
    if cores > 1 and (others := _other_runs()):
        return (
            max(1, cores // (others + 1) // processes),
            f"{cores} cores, and {others} other run(s) use them too" + among,
            True,
        )
    if processes > 1:
        return max(1, cores // processes), f"{cores} cores{among}", True
    return cores, f"a lone run on {cores} cores", False


def _processes(cfg: DictConfig) -> int:
    """How many processes this run has on this machine: one for each device, as far as the config tells."""
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    if isinstance(devices, str) and "," in devices:
        return len(devices.split(","))
    if isinstance(devices, str | int):  # auto and -1: only the device itself tells, on a CPU it is one
        return max(1, int(devices)) if str(devices).isdigit() else 1
    return max(1, len(devices))


def _other_runs() -> int:
    """How many other training processes of this program are at work on this machine."""
    own = psutil.Process()
    family = {own.pid, *(parent.pid for parent in own.parents())}
    others = 0
    for process in psutil.process_iter(["pid", "cmdline"]):
        command = process.info["cmdline"] or []
        is_script = any(Path(word).name == "train.py" for word in command[1:3])
        if is_script and process.info["pid"] not in family and "python" in Path(command[0]).name:
            others += 1
    return others


def _runs_side_by_side() -> int:
    """How many runs Hydra's launcher has on this machine at a time."""
    if not HydraConfig.initialized():
        return 1
    hydra: Any = HydraConfig.get()
    target = str(hydra.launcher.get("_target_", ""))
    if "joblib" in target.lower():
        parallel = int(hydra.launcher.get("n_jobs", 1))
        limit = max(1, available_cores() + 1 + parallel) if parallel < 0 else parallel
    elif "LocalLauncher" in target:
        limit = sys.maxsize  # submitit's local executor starts all runs that it is given at once
    else:
        return 1
    runs = runs_at_once(Path(hydra.runtime.cwd) / hydra.sweep.dir)
    return min(limit, available_cores() if runs is None else runs)
