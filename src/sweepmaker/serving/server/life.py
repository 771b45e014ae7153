"""The server's life: listen, start workers by plan, answer, end without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import sys
from typing import Any

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.environment import available_cores
from sweepmaker.serving.server import logs, plan, protocol
from sweepmaker.serving.server.app import Site
from sweepmaker.serving.server.guard import is_loopback
from sweepmaker.serving.server.logs import say
from sweepmaker.serving.server.metrics import Metrics
from sweepmaker.serving.server.pool import Pool
from sweepmaker.serving.server.processes import Nursery, WorkerEnded
from sweepmaker.serving.server.settings import Settings

DRAIN_S = 27.0  # SageMaker kills 30 s after SIGTERM
_QUEUE = 16  # requests that wait, for each worker; at least two batches
_FILES = 8192  # open at a time, where the system lets us


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; all that was accepted until then is answered.

    Prints one line of JSON on stdout as soon as it listens; logs are lines of JSON on stderr.

    Raises:
        ConfigError: the address cannot be listened on, or a setting does not fit the model.
        UserError: the model cannot be loaded.
    """
    logs.set_up()
    _raise_files()
    asyncio.run(_Serving(settings).run())


class _Serving:
    """One server, inside the event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cores = available_cores()
        worker = settings.for_worker(self._cores)
        nursery = Nursery(worker, settings.threads, _printed, lambda *end: self._pool.ended(*end))
        metrics = Metrics(lambda: self._pool.ready, lambda: self._pool.waiting)
        self._pool = Pool(settings, nursery, metrics)
        self._site = Site(settings, self._pool, metrics)
        self._keepers: list[asyncio.Task[None]] = []  # one for each worker

    async def run(self) -> None:
        """From the first words to the end of the last process."""
        ended = _signalled()
        listener = _listener(self._settings.host, self._settings.port)
        front = protocol.Front(self._site.app, listener)
        try:
            await front.open()
            address = url(self._settings.host, listener.getsockname()[1])
            print(json.dumps({"url": address, "pid": os.getpid()}), flush=True)
            if not is_loopback(self._settings.host):
                say("open", "warning", message="other machines are let in, and there is no password")
            await self._work_until(ended)
            say("ending", signal=ended.result(), waiting=self._pool.waiting)
            self._site.app.draining = True
            complete = await front.drain(DRAIN_S)
            say("ended", "info" if complete else "error", complete=complete)
        finally:
            for keeper in self._keepers:
                keeper.cancel()
            await front.close()
            await self._pool.close()

    async def _work_until(self, ended: asyncio.Future[str]) -> None:
        """
        Raises:
            UserError: the model cannot be loaded.
            RuntimeError: a defect of ours; better started anew than half alive.
        """
        start = asyncio.create_task(self._start())
        first: set[asyncio.Future[Any]] = {start, ended}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            return
        start.result()
        kept: set[asyncio.Future[Any]] = {ended, *self._keepers}
        await asyncio.wait(kept, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            error = next(keeper.exception() for keeper in self._keepers if keeper.done())
            raise RuntimeError("the workers are not looked after any more") from error

    async def _start(self) -> None:
        """The first worker, then as many more as the plan says once it is known what one takes."""
        settings, pool = self._settings, self._pool
        try:
            first, said = await pool.start(0)
        except WorkerEnded as error:
            raise UserError(f"the model cannot be loaded: {error}; the log says more") from error
        made = plan.choose(
            cores=self._cores,
            memory=plan.free_memory(),
            each=said["memory"],
            pixels=settings.limits.pixels,
            gpus=said["gpus"],
            workers=settings.workers,
            threads=settings.threads,
            batch=settings.batch_max,
        )
        pool.size, pool.batch = made.workers, made.batch
        pool.queue = settings.limits.queue or max(_QUEUE, 2 * made.batch) * made.workers
        say("plan", workers=made.workers, threads=made.threads, batch=made.batch, queue=pool.queue,
            engine=said["engine"], device=said["device"], reason=made.reason)  # fmt: skip
        for number in range(made.workers):
            gpu = number % said["gpus"] if said["gpus"] > 1 else None
            keep = pool.keep(number, gpu, first if number == 0 else None)
            self._keepers.append(asyncio.create_task(keep, name=f"worker {number}"))


def _listener(host: str, port: int) -> socket.socket:
    try:
        return protocol.bind(host, port)
    except (OSError, UnicodeError) as error:
        if not isinstance(error, socket.gaierror | UnicodeError) and error.errno != errno.EADDRNOTAVAIL:
            raise ConfigError(
                f"cannot listen on {host}, port {port}: {error.strerror or error}",
                key="port",
                fix="port=0 takes any free one",
            ) from None
        raise ConfigError(
            f"this machine has no address {host!r:.80}",
            key="host",
            allowed="an address or a name of this machine; 0.0.0.0 for all of them",
            fix="host=127.0.0.1",
        ) from None


def url(host: str, port: int) -> str:
    """Where to ask a server that listens on ``host``."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _signalled() -> asyncio.Future[str]:
    """Is done when the process is asked to end; whoever asks twice is in a hurry."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def told(signum: signal.Signals) -> None:
        if ended.done():
            sys.stderr.flush()
            os._exit(128 + signum)  # workers end with this process
        ended.set_result(signum.name)

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told, signum)
    return ended


def _printed(line: str) -> None:
    """What a worker or a library in it prints is an event like others."""
    say("output", line=line)


def _raise_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, hard), hard))
