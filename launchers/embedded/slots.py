"""Cores and GPUs for trials that run side by side.

Over-subscribed OpenMP makes torch 8 to 60 times slower, so a trial gets cores of its own, and one thread
a trial comes before two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Slot:
    """What one trial may use."""

    cores: tuple[int, ...]
    gpus: tuple[int, ...]

    @property
    def threads(self) -> int:
        return len(self.cores)


def cores_each(cores: int, parallel: int) -> tuple[int, str]:
    """How many cores a trial gets, and why.

    Args:
        cores: that trials may use together.
        parallel: trials that the job wants at a time.
    """
    each = max(1, cores // max(1, parallel))
    at_a_time = min(parallel, cores // each)
    threads = "1 thread" if each == 1 else f"{each} threads"
    reason = f"{threads} a trial: {parallel} at a time asked for, {cores} cores here"
    if at_a_time < parallel:
        reason += f"; {at_a_time} run at a time, the others wait"
    return each, reason


class Slots:
    """Cores and GPUs, handed out and taken back.

    Args:
        cores: their numbers.
        gpus: their numbers; where there are any, a trial gets one.
    """

    def __init__(self, cores: Sequence[int], gpus: Sequence[int] = ()) -> None:
        self.total = len(cores)
        self._cores = list(cores)
        self._gpus = list(gpus)
        self._with_gpus = bool(gpus)
        self._changed = threading.Condition()

    def take(self, cores: int, given_up: Callable[[], bool]) -> Slot | None:
        """Wait for ``cores`` cores (and a GPU); None when ``given_up()`` first says so."""
        with self._changed:
            while not given_up():
                if len(self._cores) >= cores and (self._gpus or not self._with_gpus):
                    taken, self._cores = self._cores[:cores], self._cores[cores:]
                    gpus = (self._gpus.pop(0),) if self._gpus else ()
                    return Slot(tuple(taken), gpus)
                self._changed.wait(0.2)
        return None

    def give_back(self, slot: Slot) -> None:
        with self._changed:
            self._cores = sorted([*self._cores, *slot.cores])
            self._gpus = sorted([*self._gpus, *slot.gpus])
            self._changed.notify_all()
