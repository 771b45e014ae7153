"""Requests that workers ended at, or took too long with: the next time each is alone, then it is refused.

It may well be innocent: the kernel takes a worker when others need the memory, and a machine may stall. So
what is answered is forgotten, and what has cost no worker for a while too.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from sweepmaker.serving.server.jobs import Job

TRIES = 2
"""Workers that one request may cost."""
REMEMBERED_S = 600.0
"""For so long, after the last one that it cost."""
_REMEMBERED = 256  # requests


@dataclass(frozen=True)
class _Known:
    size: int  # bytes of the body
    workers: int  # that it cost
    when: float  # of the clock, the last one


class Suspects:
    """The last requests that may have been a worker's end.

    Args:
        clock: in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[bytes, _Known] = OrderedDict()  # by digest, the latest last

    def cost(self, job: Job) -> int | None:
        """Workers that the same request has cost; None where it is none of these."""
        digest = self._digest(job)
        return None if digest is None else self._known[digest].workers

    def add(self, job: Job, workers: int) -> None:
        """It has cost so many more; 0: it was among several, and nobody knows whose fault it was."""
        self._expire()
        digest = job.digest()
        before = self._known.pop(digest, None)
        cost = workers + (before.workers if before else 0)
        self._known[digest] = _Known(job.size(), cost, self._clock())
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def forget(self, job: Job) -> None:
        """A worker has answered it."""
        if (digest := self._digest(job)) is not None:
            del self._known[digest]

    def _digest(self, job: Job) -> bytes | None:
        """Of a request that is known here; others are rarely as long as one of these, and not hashed then."""
        self._expire()
        if not self._known:
            return None
        size = job.size()
        if all(known.size != size for known in self._known.values()):
            return None
        digest = job.digest()
        return digest if digest in self._known else None

    def _expire(self) -> None:
        oldest = self._clock() - REMEMBERED_S
        while self._known and next(iter(self._known.values())).when < oldest:
            self._known.popitem(last=False)
