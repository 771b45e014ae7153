"""Processes that outlived who was to look after them, found by what the server put into their environment.

A process that was forked, not executed, still shows the variables of the process that it came from:
`ROOT_MARK` is in all of them, `TRIAL_MARK` in those that a trial executed. What comes from a marked
process goes with it. Only one that cleared its environment, left its session and lost every parent up
to the guard and the zygote is not recognised.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from launchers.embedded.runtimes.order import ROOT_MARK, TRIAL_MARK, scratch_prefix

_AGAIN_S = 0.01
_GIVE_UP_S = 10.0


def kill_strays(root: Path) -> int:
    """Kill what an earlier server of ``root`` left, and wait until it is gone; how many there were.

    Temporary folders of its trials are removed too.

    Raises:
        TimeoutError: some of them don't go.
    """
    word = str(root)
    count = _kill(lambda one: one.environ().get(ROOT_MARK) == word)
    for folder in Path(tempfile.gettempdir()).glob(f"{scratch_prefix(root)}*"):
        shutil.rmtree(folder, ignore_errors=True)
    return count


def kill_trial(token: str, session: int) -> int:
    """Kill what is left of one trial whose guard was killed; how many processes there were.

    Args:
        token: of its order.
        session: the trial's process id, which is its session's too; 0 where it is not known.

    Raises:
        TimeoutError: some of them don't go.
    """

    def belongs(one: psutil.Process) -> bool:
        if session:
            with contextlib.suppress(OSError):
                if os.getsid(one.pid) == session:
                    return True
        return bool(one.environ().get(TRIAL_MARK) == token)

    return _kill(belongs)


def _kill(belongs: Callable[[psutil.Process], bool]) -> int:
    spared = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    killed: set[int] = set()
    deadline = time.monotonic() + _GIVE_UP_S
    while found := _find(belongs, spared):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(one.pid for one in found)} don't end")
        for one in found:
            with contextlib.suppress(psutil.Error):
                one.kill()
                killed.add(one.pid)
        time.sleep(_AGAIN_S)  # not waited for: whoever is their parent wants to know how they ended
    return len(killed)


def _find(belongs: Callable[[psutil.Process], bool], spared: set[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for one in psutil.process_iter():
        # gone meanwhile, or somebody else's
        with contextlib.suppress(psutil.Error, OSError):
            if one.pid not in found and one.pid not in spared and belongs(one):
                found |= {each.pid: each for each in (one, *one.children(recursive=True)) if _runs(each)}
    return [one for pid, one in found.items() if pid not in spared]


def _runs(one: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(one.status() != psutil.STATUS_ZOMBIE)
    return False
