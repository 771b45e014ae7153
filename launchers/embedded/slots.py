"""Cores and GPUs for trials that run side by side.

Over-subscribed OpenMP makes torch 8 to 60 times slower, so a trial gets cores of its own, and one thread
a trial comes before two.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_AGAIN_S = 0.2  # a stop of who waits is seen so soon


@dataclass(frozen=True)
class Slot:
    """What one trial may use."""

    cores: tuple[int, ...]
    gpus: tuple[str, ...]

    @property
    def threads(self) -> int:
        return len(self.cores)


def cores_each(cores: int, parallel: int, gpus: int = 0) -> tuple[int, str]:
    """How many cores a trial gets, and why.

    Args:
        cores: that trials may use together.
        parallel: trials that the job wants at a time.
        gpus: likewise; where there are any, each trial needs one of its own.
    """
    most = min(parallel, gpus) if gpus else parallel
    each = max(1, cores // max(1, most))
    at_a_time = min(most, cores // each)
    threads = "1 thread" if each == 1 else f"{each} threads"
    reason = f"{threads} a trial: {parallel} at a time asked for, {cores} cores"
    reason += f" and {gpus} GPU{'s' if gpus > 1 else ''} here" if gpus else " here"
    if at_a_time < parallel:
        reason += f"; {at_a_time} run at a time, the others wait"
    return each, reason


class Slots:
    """Cores and GPUs, handed out and taken back. Who came first is served first.

    Args:
        cores: their numbers.
        gpus: their names, as CUDA_VISIBLE_DEVICES has them; where there are any, a trial gets one.
    """

    def __init__(self, cores: Sequence[int], gpus: Sequence[str] = ()) -> None:
        self.total = len(cores)
        self.gpus = len(gpus)
        self._cores = list(cores)
        self._order = list(gpus)
        self._gpus = list(gpus)
        self._changed = threading.Condition()
        self._waiting: list[object] = []

    @property
    def gpu_names(self) -> tuple[str, ...]:
        """All GPUs, whoever has them now."""
        return tuple(self._order)

    def take(
        self, cores: int, given_up: Callable[[], bool], waits: Callable[[], None] | None = None
    ) -> Slot | None:
        """Wait for ``cores`` cores (and a GPU); None when ``given_up()`` first says so.

        ``waits()`` is called once where they are not to be had at once.
        """
        ticket = object()
        with self._changed:
            # in order, or small trials that follow each other would keep a large one waiting for ever
            self._waiting.append(ticket)
            try:
                while not given_up():
                    if self._waiting[0] is ticket and self._has(cores):
                        taken, self._cores = self._cores[:cores], self._cores[cores:]
                        gpus = (self._gpus.pop(0),) if self._gpus else ()
                        return Slot(tuple(taken), gpus)
                    if waits is not None:
                        waits()
                        waits = None
                    self._changed.wait(_AGAIN_S)
            finally:
                self._waiting.remove(ticket)
                self._changed.notify_all()
        return None

    def _has(self, cores: int) -> bool:
        return len(self._cores) >= cores and bool(self._gpus or not self.gpus)

    def give_back(self, slot: Slot) -> None:
        with self._changed:
            self._cores = sorted([*self._cores, *slot.cores])
            self._gpus = sorted([*self._gpus, *slot.gpus], key=self._order.index)
            self._changed.notify_all()
