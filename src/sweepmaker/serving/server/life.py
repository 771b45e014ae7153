"""The server's life: listen, start workers by plan, answer, end without losing a request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import sys
from dataclasses import dataclass
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
_QUEUE = 16  # requests that wait, for each worker
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


@dataclass
class _Serving:
    settings: Settings

    async def run(self) -> None:
        settings = self.settings
        ended = _signalled()
        try:
            listener = protocol.bind(settings.host, settings.port)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}",
                key="port",
                fix="port=0 takes any free one",
            ) from None
        cores = available_cores()
        nursery = Nursery(
            settings.for_worker(cores), settings.threads, _printed, lambda *end: pool.ended(*end)
        )
        metrics = Metrics(lambda: pool.ready, lambda: pool.waiting)
        pool = Pool(settings, nursery, metrics)
        site = Site(settings, pool, metrics)
        front = protocol.Front(site.app, listener)
        tasks: list[asyncio.Task[None]] = []
        try:
            await front.open()
            print(
                json.dumps({"url": url(settings.host, listener.getsockname()[1]), "pid": os.getpid()}),
                flush=True,
            )
            if not is_loopback(settings.host):
                say(
                    "open",
                    "warning",
                    message=f"{settings.host} lets other machines in, and there is no password",
                )
            start = asyncio.create_task(self._start(pool, tasks, cores))
            both: set[asyncio.Future[Any]] = {start, ended}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()  # raises what kept the model from being loaded
                await ended
            else:
                start.cancel()
            say("ending", signal=ended.result(), waiting=pool.waiting)
            site.app.draining = True
            complete = await front.drain(DRAIN_S)
            say("ended", "info" if complete else "error", complete=complete)
        finally:
            for task in tasks:
                task.cancel()
            await front.close()
            await pool.close()

    async def _start(self, pool: Pool, tasks: list[asyncio.Task[None]], cores: int) -> None:
        """The first worker, then as many more as the plan says once it is known what one takes."""
        settings = self.settings
        try:
            first, said = await pool.start(0)
        except WorkerEnded as error:
            raise UserError(f"the model cannot be loaded: {error}; the log says more") from error
        made = plan.choose(
            cores=cores,
            memory=plan.free_memory(),
            each=said["memory"],
            pixels=settings.limits.pixels,
            gpus=said["gpus"],
            workers=settings.workers,
            threads=settings.threads,
            batch=settings.batch_max,
        )
        pool.size, pool.batch = made.workers, made.batch
        pool.queue = settings.limits.queue or _QUEUE * made.workers * made.batch
        say("plan", workers=made.workers, threads=made.threads, batch=made.batch, queue=pool.queue,
            engine=said["engine"], device=said["device"], reason=made.reason)  # fmt: skip
        for number in range(made.workers):
            gpu = number % said["gpus"] if said["gpus"] > 1 else None
            worker = first if number == 0 else None
            tasks.append(asyncio.create_task(pool.keep(number, gpu, worker), name=f"worker {number}"))


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
