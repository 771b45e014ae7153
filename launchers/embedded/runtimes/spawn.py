"""Processes of this package, started afresh."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from launchers.embedded.runtimes.command import GPU_ORDER
from launchers.embedded.runtimes.order import ROOT_MARK

CHECKOUT = Path(__file__).resolve().parents[3]

_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR")
_ONE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def spawn(
    module: str, arguments: list[int], descriptors: list[int], root: Path, stderr: int
) -> subprocess.Popen[bytes]:
    """Start a module of this package afresh, with the open files ``descriptors``.

    Not tied to the life of this process: what it serves closes a socket instead.
    """
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # of nvidia-smi's numbers, or of the user's, who got CUDA's default
    by_user = "FASTEST_FIRST" if "CUDA_VISIBLE_DEVICES" in os.environ else "PCI_BUS_ID"
    found[GPU_ORDER] = os.environ.get(GPU_ORDER, by_user)
    found |= dict.fromkeys(_ONE, "1")  # read when the libraries are loaded
    found |= {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        ROOT_MARK: str(root),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *map(str, arguments)],
        cwd="/",
        env=found,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        start_new_session=True,
    )
