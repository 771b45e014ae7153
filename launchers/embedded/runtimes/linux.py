"""What only Linux has, through libc; elsewhere each function does nothing and says so."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

HERE: bool = sys.platform == "linux"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE = 800  # of 1000: a trial goes before everybody else on the machine


def libc() -> ctypes.CDLL:
    """The C library of this process."""
    return ctypes.CDLL(None, use_errno=True)


def checked(result: int, what: str) -> None:
    """
    Raises:
        OSError: ``result`` says that a call into libc failed.
    """
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def die_with_parent() -> bool:
    """This process is killed when the thread that forked it ends."""
    if not HERE:
        return False
    checked(libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    return True


def adopt_orphans() -> bool:
    """Descendants whose parent ends become children of this process."""
    if not HERE:
        return False
    checked(libc().prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")
    return True


def first_to_die() -> bool:
    """When memory runs out, the kernel takes this process first."""
    try:
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))
    except OSError:
        return False
    return True


def threads() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task")) if HERE else 1  # noqa: PTH208


def catches(pid: int, signum: int) -> bool:
    """Whether a process has a handler for a signal; True where nobody can tell."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return True
    mask = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), None)
    return mask is None or bool(int(mask, 16) >> (signum - 1) & 1)


def parents() -> dict[int, int]:
    """Each process on this machine to its parent."""
    if not HERE:
        import psutil  # type: ignore[import-untyped, unused-ignore]

        return {one.pid: one.ppid() for one in psutil.process_iter()}
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            try:
                stat = Path("/proc", name, "stat").read_bytes()
            except OSError:  # it has ended meanwhile
                continue
            found[int(name)] = int(stat.rpartition(b")")[2].split()[1])
    return found


def descendants(pid: int) -> set[int]:
    """Every process that comes from ``pid``, by its parents as they are now."""
    children: dict[int, list[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    left = [pid]
    while left:
        for child in children.get(left.pop(), ()):
            if child not in found:
                found.add(child)
                left.append(child)
    return found
