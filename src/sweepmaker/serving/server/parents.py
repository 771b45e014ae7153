"""No process is left behind: the kernel ends a child whose parent has ended, by whatever means."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500  # of 1000: a worker goes before the front, which answers that it went


def die_with(parent: int) -> None:
    """This process is killed as soon as ``parent`` has ended; where the kernel lacks that, nothing happens.

    Raises:
        SystemExit: it has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)


def first_to_die() -> None:
    """When memory runs out, the kernel takes this process before others."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
