"""What a result may depend on beside the config: commit, versions, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from sweepmaker.run import cgroup

_PACKAGES = (
    "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy", "pillow", "timm"
)  # fmt: skip


def git(folder: Path) -> dict[str, Any] | None:
    """``{"commit": ..., "dirty": ...}`` of the checkout around ``folder``; None outside of one."""

    def run(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
            )
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = run("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(run("status", "--porcelain", "--untracked-files=no"))}


def is_main_process() -> bool:
    """Whether this is the process that writes the run folder: rank 0, not a DDP child of it."""
    ranks = (os.environ.get(name, "0") for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))
    return all(rank == "0" for rank in ranks)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, as installed."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def available_cores() -> int:
    """Cores that this process may use: affinity and, in a container, the CPU quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup.Limits().cores
    return max(1, cores if quota is None else min(cores, int(quota)))


def cpu_flags() -> set[str]:
    """Instruction sets of the CPU by the kernel's names; empty where there is no telling."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return set()
    lines = info.read_text(encoding="utf-8").splitlines()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def hardware() -> dict[str, Any]:
    """Machine, cores and memory (GiB); GPUs by name once torch is loaded."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": [],
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
