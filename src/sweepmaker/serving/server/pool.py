"""Requests wait here for a worker; workers that end are replaced, and what they were at is dealt with."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from sweepmaker.config.errors import EXIT_CONFIG, ConfigError, UserError
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.server import wire
from sweepmaker.serving.server.jobs import Job, Jobs
from sweepmaker.serving.server.logs import say
from sweepmaker.serving.server.metrics import Metrics
from sweepmaker.serving.server.processes import Nursery, Worker, WorkerEnded
from sweepmaker.serving.server.settings import Settings
from sweepmaker.serving.server.suspects import TRIES, Suspects
from sweepmaker.serving.server.worker import Reply

_START_S = 600.0  # until a worker has loaded its model
_BACK_OFF_S = (0.1, 10.0)  # between starts that fail: the first, the longest
_CLOSE_S = 1.0  # for workers to end by themselves; one that is loading its model does not


class Pool:
    """Workers, and the queue before them.

    Args:
        settings: of the server.
        nursery: where workers come from.
        metrics: get what happens here.
    """

    def __init__(self, settings: Settings, nursery: Nursery, metrics: Metrics) -> None:
        self._settings = settings
        self._nursery = nursery
        self._metrics = metrics
        self._jobs = Jobs(settings.batch_latency_ms / 1000)
        self._workers: dict[int, Worker] = {}  # by process id, those that started
        self._ready: set[int] = set()  # their process ids
        self._stuck = 0  # workers whose last start failed
        self._suspects = Suspects()
        self._seconds = 0.1  # of a request at a worker, lately
        self.size = 0  # workers there shall be
        self.batch = 1
        self.queue = settings.limits.queue or 0

    @property
    def ready(self) -> int:
        """Workers that answer."""
        return len(self._ready)

    @property
    def waiting(self) -> int:
        """Requests that no worker has taken yet."""
        return len(self._jobs)

    def admit(self) -> None:
        """See whether one more request may wait.

        Raises:
            RequestError: 503.
        """
        if not self.ready and (self.size == 0 or self._stuck):
            raise RequestError(503, "the model is not ready", retry_after_s=1)
        if self.waiting >= self.queue:
            raise RequestError(
                503, f"{self.waiting} requests are waiting already", retry_after_s=self._retry_after()
            )

    async def answer(self, job: Job) -> Reply:
        """What a worker says to ``job``, in time.

        Raises:
            RequestError: 422 workers ended while they were at it; 503 there is no room, or no answer in time.
        """
        self.admit()
        if (cost := self._suspects.cost(job)) is not None:
            if cost >= TRIES:
                raise _deadly()
            job.alone = True
        limit = self._settings.limits.timeout_s
        self._jobs.put(job)
        try:
            async with asyncio.timeout(job.arrived + limit - time.monotonic()):
                return await job.answer
        except TimeoutError:
            raise RequestError(
                503, f"there was no answer within {limit:g} s", retry_after_s=self._retry_after()
            ) from None
        finally:
            self._jobs.forget(job)  # whoever asked may have gone

    def ended(self, pid: int, status: int) -> None:
        """A worker's process has ended."""
        if (worker := self._workers.pop(pid, None)) is None:
            return
        self._ready.discard(pid)
        worker.gone.set()
        if status:
            say("worker_ended", "warning", worker=worker.number, pid=pid, status=status)

    async def start(self, number: int, gpu: int | None = None) -> tuple[Worker, dict[str, Any]]:
        """A worker that is ready, and what it says of itself.

        Raises:
            UserError: it cannot load the model.
            WorkerEnded: it ended without a word.
        """
        begun = time.monotonic()
        worker = await self._nursery.start(number, gpu)
        self._workers[worker.pid] = worker
        try:
            async with asyncio.timeout(_START_S):
                said, _ = await worker.receive()
        except TimeoutError:
            self._nursery.kill(worker)
            raise WorkerEnded(f"worker {number} was not ready within {_START_S:g} s") from None
        if "failed" in said:
            worker.close()
            kind = ConfigError if said["code"] == EXIT_CONFIG else UserError
            raise kind(str(said["failed"]))
        say("worker_ready", worker=number, pid=worker.pid, seconds=round(time.monotonic() - begun, 3),
            **said["ready"])  # fmt: skip
        return worker, said["ready"]

    async def keep(self, number: int, gpu: int | None = None, first: Worker | None = None) -> None:
        """Have worker ``number`` at work, for ever: one that ends is replaced.

        Args:
            number: of the worker.
            gpu: that it computes on, where there are several.
            first: it, where it is there already.
        """
        failures = 0
        while True:
            worker, first = first, None
            if worker is None:
                try:
                    worker, _ = await self.start(number, gpu)
                except (UserError, WorkerEnded) as error:
                    failures += 1
                    self._stuck += failures == 1
                    low, high = _BACK_OFF_S
                    wait = min(high, low * 2**failures)
                    say("worker_failed", "error", worker=number, message=str(error), again_in_s=wait)
                    await asyncio.sleep(wait)
                    continue
            self._stuck -= failures > 0
            failures = 0
            if not worker.gone.is_set():
                self._ready.add(worker.pid)
            try:
                await self._work(worker)
            except WorkerEnded:
                self._ready.discard(worker.pid)
                self._metrics.replaced.inc()
            finally:
                worker.close()

    async def close(self) -> None:
        """End all workers; nobody is waiting for them any more."""
        for worker in self._workers.values():
            worker.close()
        gone = [asyncio.create_task(worker.gone.wait()) for worker in self._workers.values()]
        if gone:
            await asyncio.wait(gone, timeout=_CLOSE_S)
            for task in gone:
                task.cancel()
        await self._nursery.close()

    async def _work(self, worker: Worker) -> None:
        """Hand requests to ``worker`` until it ends (`WorkerEnded`)."""
        gone = asyncio.create_task(worker.gone.wait())
        try:
            while True:
                take = asyncio.create_task(self._jobs.take(self.batch))
                try:
                    await asyncio.wait({take, gone}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not take.done():
                        take.cancel()
                if not take.done():
                    raise WorkerEnded(f"worker {worker.number} has ended")
                await self._compute(worker, take.result())
        finally:
            gone.cancel()

    async def _compute(self, worker: Worker, jobs: Sequence[Job]) -> None:
        start = time.monotonic()
        for job in jobs:
            job.taken = start
            self._metrics.queue_seconds.observe(start - job.arrived)
        self._metrics.batch.observe(len(jobs))
        requests = [{"content_type": job.content_type, "accept": job.accept} for job in jobs]
        try:
            wire.write(worker.writer, {"requests": requests}, [job.body for job in jobs])
            async with asyncio.timeout(self._settings.limits.timeout_s):
                header, bodies = await worker.receive()
        except TimeoutError:
            self._nursery.kill(worker)
            for job in jobs:  # of several nobody knows whose fault it was: next time each is alone
                self._suspects.add(job, 1 if len(jobs) == 1 else 0)
            raise WorkerEnded(f"worker {worker.number} took too long") from None
        except WorkerEnded:
            self._crashed(jobs)
            raise
        self._seconds += 0.1 * ((time.monotonic() - start) / len(jobs) - self._seconds)
        for job, reply, body in zip(jobs, header["replies"], bodies, strict=True):
            self._suspects.forget(job)
            if not job.answer.done():
                job.answer.set_result(Reply(**reply, body=body))

    def _crashed(self, jobs: Sequence[Job]) -> None:
        """Each once more, alone; who has cost two workers is refused, and so is the same request again."""
        for job in jobs:
            job.tries += 1
            job.alone = True
            if job.answer.done():  # whoever asked has gone, and may ask again; of several it was only one
                self._suspects.add(job, job.tries if len(jobs) == 1 else job.tries - 1)
                continue
            if job.tries < TRIES:
                self._jobs.put(job)
                continue
            self._suspects.add(job, TRIES)
            job.answer.set_exception(_deadly())

    def _retry_after(self) -> int:
        """Seconds until the queue as it is now is done."""
        return max(1, min(60, math.ceil(self.waiting * self._seconds / max(1, self.ready))))


def _deadly() -> RequestError:
    return RequestError(
        422, "this request cannot be processed: each worker that tried it was ended by it, or took too long"
    )
