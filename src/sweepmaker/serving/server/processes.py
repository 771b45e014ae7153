"""The front's side of the nursery and of its workers: start, hear that one has ended, kill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweepmaker.serving.server import wire

_SOURCE = Path(__file__).resolve().parents[3]
_LINE = 4000  # characters of one line of a worker's output that are kept
_LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # read when they are loaded


class WorkerEnded(Exception):
    """A worker has ended: by itself, killed, or because its nursery has."""


@dataclass
class Worker:
    """A running worker.

    Attributes:
        number: which one it is, from 0; one that takes another's place has the same.
        pid: of its process.
        gone: set when it has ended, whatever it was doing.
    """

    number: int
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> tuple[dict[str, Any], list[bytes]]:
        """The next thing that it says.

        Raises:
            WorkerEnded: nothing any more.
        """
        try:
            return await wire.read(self.reader)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise WorkerEnded(f"worker {self.number} (process {self.pid}) has ended") from error

    def close(self) -> None:
        """It ends as soon as it has answered what it is at."""
        self.writer.close()


@dataclass
class Nursery:
    """A running nursery (`sweepmaker.serving.server.nursery`).

    Args:
        settings: of every worker, as JSON can have them.
        threads: of every worker.
        output: is called with each line that it or a worker prints.
        ended: is called with the process id and the exit code (minus the signal) of each worker.
    """

    settings: Mapping[str, Any]
    threads: int
    output: Callable[[str], None]
    ended: Callable[[int, int], None]
    _process: subprocess.Popen[bytes] | None = None
    _channel: socket.socket | None = None
    _started: dict[int, asyncio.Future[int]] = field(default_factory=dict)
    _pids: set[int] = field(default_factory=set)  # of workers that have not ended
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _readers: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def lives(self) -> bool:
        """Whether workers can be started."""
        return self._process is not None and self._process.poll() is None

    async def _open(self) -> None:
        """Start its process; its imports go on while this returns."""
        await self._hang_up()  # where it is not the first one
        self._channel, other = socket.socketpair()
        read, write = os.pipe()
        environment = os.environ | dict.fromkeys(_LIBRARIES, str(self.threads))
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, (str(_SOURCE), environment.get("PYTHONPATH")))
        )
        module, settings = f"{__package__}.nursery", dict(self.settings)
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(other.fileno()), str(os.getpid()), json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=write, stderr=write, pass_fds=[other.fileno()],
                env=environment,
            )  # fmt: skip
        os.close(write)
        self._channel.setblocking(False)
        self._readers = [
            asyncio.create_task(self._listen(self._channel), name="nursery"),
            asyncio.create_task(self._print(read), name="output"),
        ]

    async def start(self, number: int, gpu: int | None = None) -> Worker:
        """A new worker, which still has to say that it is ready.

        Raises:
            WorkerEnded: the nursery has ended.
        """
        async with self._opening:
            if not self.lives:
                await self._open()
        assert self._channel is not None
        mine, its = socket.socketpair()
        told = self._started[number] = asyncio.get_running_loop().create_future()
        order = json.dumps({"start": number, "gpu": gpu}).encode() + b"\n"
        try:
            with its:
                socket.send_fds(self._channel, [order], [its.fileno()])
            pid = await told
        except OSError as error:
            mine.close()
            raise WorkerEnded("the process that workers come from has ended") from error
        except BaseException:
            mine.close()
            raise
        finally:
            self._started.pop(number, None)
        reader, writer = await asyncio.open_connection(sock=mine)
        return Worker(number, pid, reader, writer)

    def kill(self, worker: Worker) -> None:
        """End a worker at once; `ended` is called when it has."""
        assert self._channel is not None
        with contextlib.suppress(OSError):  # it is ending by itself, with all workers
            self._channel.send(json.dumps({"kill": worker.pid}).encode() + b"\n")

    async def close(self) -> None:
        """End it and whatever workers there still are."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await self._hang_up()

    async def _hang_up(self) -> None:
        for task in self._readers:
            task.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        if self._channel is not None:
            self._channel.close()

    async def _listen(self, channel: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=channel.dup())
        try:
            while line := await reader.readline():
                said = json.loads(line)
                if "ended" in said:
                    self._pids.discard(said["ended"])
                    self.ended(said["ended"], said["status"])
                    continue
                number = said.get("failed", said.get("started"))
                told = self._started.get(number)
                if "failed" in said:
                    if told is not None and not told.done():
                        told.set_exception(
                            WorkerEnded(f"worker {number} cannot be started: {said['message']}")
                        )
                    continue
                self._pids.add(said["pid"])
                if told is not None and not told.done():
                    told.set_result(said["pid"])
        finally:
            writer.close()
            for pid in self._pids:  # the kernel has ended them with it
                self.ended(pid, -signal.SIGKILL)
            self._pids.clear()
            for told in self._started.values():
                if not told.done():
                    told.set_exception(WorkerEnded("the process that workers come from has ended"))

    async def _print(self, read: int) -> None:
        """Hand on what is printed, line by line, however long a line is."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", buffering=0)
        )
        try:
            rest = b""
            while piece := await reader.read(1 << 16):
                *lines, rest = (rest + piece).split(b"\n")
                rest = rest[-_LINE:]
                for line in lines:
                    if text := line.decode("utf-8", "replace").strip():
                        self.output(text[:_LINE])
        finally:
            transport.close()
