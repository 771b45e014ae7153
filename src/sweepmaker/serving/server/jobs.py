"""Requests that wait for a worker, in the order they came; those that ended a worker first.

A request that may be a worker's end (one that was) is computed alone, so that it takes nobody with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweepmaker.serving.server.worker import Reply


@dataclass(eq=False)
class Job:
    """A request on its way to a worker and back.

    Attributes:
        body: in the pieces that it came in.
        answer: is set by whoever has it.
        arrived: `time.monotonic` of when it was complete.
        taken: of when a worker last took it.
        tries: workers that ended while they were at it.
        alone: is computed with no other.
    """

    content_type: str | None
    accept: str | None
    body: Sequence[bytes]
    answer: asyncio.Future[Reply]
    arrived: float = field(default_factory=time.monotonic)
    taken: float | None = None
    tries: int = 0
    alone: bool = False

    def size(self) -> int:
        """Of the body, in bytes."""
        return sum(map(len, self.body))

    def digest(self) -> bytes:
        """The same for the same request."""
        found = hashlib.sha256(repr(self.content_type).encode())
        for piece in self.body:
            found.update(piece)
        return found.digest()


class Jobs:
    """The queue.

    Args:
        latency_s: that the first request of a batch waits at most for others.
    """

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._queue: asyncio.PriorityQueue[tuple[int, int, Job]] = asyncio.PriorityQueue()
        self._order = itertools.count()
        self._waiting: set[Job] = set()

    def __len__(self) -> int:
        """Requests that no worker has taken, and that somebody still wants."""
        return len(self._waiting)

    def put(self, job: Job) -> None:
        """One more."""
        self._waiting.add(job)
        self._queue.put_nowait((0 if job.tries else 1, next(self._order), job))

    def forget(self, job: Job) -> None:
        """Nobody wants it any more."""
        job.answer.cancel()
        self._waiting.discard(job)

    async def take(self, most: int) -> list[Job]:
        """What a worker computes next: up to ``most``, as many as come within the latency bound."""
        jobs: list[Job] = []
        try:
            await self._fill(jobs, most)
        except asyncio.CancelledError:
            for job in jobs:
                self.put(job)
            raise
        return jobs

    async def _fill(self, jobs: list[Job], most: int) -> None:
        loop = asyncio.get_running_loop()
        until: float | None = None  # of the loop's time
        while len(jobs) < most:
            try:
                async with asyncio.timeout_at(until if self._queue.empty() else None):
                    entry = await self._queue.get()
            except TimeoutError:
                return
            job = entry[2]
            if job.answer.done():
                continue  # whoever asked has gone
            if job.alone and jobs:
                self._queue.put_nowait(entry)
                return
            self._waiting.discard(job)
            jobs.append(job)
            if job.alone:
                return
            if until is None:
                until = loop.time() + self._latency_s - (time.monotonic() - job.arrived)
