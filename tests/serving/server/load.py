"""Load on a server from outside: as many requests as it answers, or so many a second whatever it answers."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.serving.server.servers import Server

ANSWER_S = 90.0  # for one answer; a server whose queue grew without a bound would need longer


@dataclass(frozen=True)
class Question:
    """A request, and the one right answer to it."""

    body: bytes
    content_type: str
    answer: bytes


@dataclass
class Result:
    """What came of a stretch of load.

    Attributes:
        statuses: how often each came.
        wrong: answers 200 with another body than the right one, refusals without Retry-After.
        dropped: requests that were sent, at least in part, and not answered.
        refused: connections that could not be made.
        latencies: seconds of the answers 200.
        memory: bytes of all processes together, resident, at 100 moments at most.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    refused: int = 0
    latencies: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers 200 a second."""
        return self.statuses[200] / self.seconds

    def __str__(self) -> str:
        ordered = sorted(self.latencies) or [0.0]
        p50, p99 = (1000 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99))
        memory = f"{self.memory[0] >> 20} to {self.memory[-1] >> 20} MB" if self.memory else "?"
        return (
            f"{self.seconds:.0f} s: {dict(sorted(self.statuses.items()))}, {self.rate:.1f} right answers/s, "
            f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, wrong {len(self.wrong)}, dropped {len(self.dropped)}, "
            f"memory {memory}"
        )


class Load:
    """Clients with connections that are kept open.

    Args:
        server: that is asked.
        questions: are asked in turn.
    """

    def __init__(self, server: Server, questions: Sequence[Question]) -> None:
        self._server = server
        self._questions = questions
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._asked = 0

    def closed(self, clients: int, seconds: float) -> Result:
        """Each client asks, waits for the answer, asks again."""
        return asyncio.run(self._closed(clients, seconds))

    def at_rate(self, rate: float, seconds: float, *, then_end: bool = False) -> Result:
        """Ask ``rate`` times a second at random moments, however long the answers take.

        Args:
            rate: requests a second.
            seconds: of asking; all answers are waited for.
            then_end: send SIGTERM in the middle of it.
        """
        return asyncio.run(self._at_rate(rate, seconds, then_end))

    async def _closed(self, clients: int, seconds: float) -> Result:
        result = Result()
        end = time.monotonic() + seconds

        async def client() -> None:
            while time.monotonic() < end:
                await self._ask(result)

        begun = time.monotonic()
        await asyncio.gather(*(client() for _ in range(clients)))
        result.seconds = time.monotonic() - begun
        self._hang_up()
        return result

    async def _at_rate(self, rate: float, seconds: float, then_end: bool) -> Result:
        result, tasks = Result(), set[asyncio.Task[None]]()
        moments = random.Random(0)
        begun = due = looked = time.monotonic()
        ends = begun + seconds / 2 if then_end else None
        every = max(0.5, seconds / 100)  # seconds between two looks at the memory, which cost some
        while (now := time.monotonic()) < begun + seconds:
            if ends is not None and now > ends:
                self._server.process.terminate()
                ends = None
            if not then_end and now - looked > every:
                looked = now
                result.memory.append(memory_of(self._server))
            if now < due:
                await asyncio.sleep(due - now)
                continue
            due += moments.expovariate(rate)
            task = asyncio.create_task(self._ask(result))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        result.seconds = time.monotonic() - begun
        await asyncio.gather(*tasks)
        self._hang_up()
        return result

    def _hang_up(self) -> None:
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()

    async def _ask(self, result: Result) -> None:
        question = self._questions[self._asked % len(self._questions)]
        self._asked += 1
        begun = time.monotonic()
        # as every client does: one that the server has closed, idle for long, is no connection any more
        self._idle = [one for one in self._idle if not one[0].at_eof()]
        try:
            reader, writer = self._idle.pop() if self._idle else await self._connect()
        except OSError:
            result.refused += 1
            return
        try:
            head = (
                f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: {question.content_type}\r\n"
                f"Accept: application/json\r\nContent-Length: {len(question.body)}\r\n\r\n"
            )
            writer.write(head.encode() + question.body)
            async with asyncio.timeout(ANSWER_S):
                status, headers, body = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            result.dropped.append(repr(error))
            writer.close()
            return
        result.statuses[status] += 1
        if status == 200:
            result.latencies.append(time.monotonic() - begun)
            if body != question.answer:
                result.wrong.append(f"{body[:100]!r} instead of {question.answer[:100]!r}")
        elif status in (429, 503) and int(headers.get("retry-after", 0)) < 1:
            result.wrong.append(f"{status} without Retry-After: {body[:100]!r}")
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._server.port)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


def memory_of(server: Server) -> int:
    """Bytes of all its processes, those they share counted once (PSS where the kernel tells it)."""
    total = 0
    for one in server.family():
        full = one.memory_full_info()
        total += int(getattr(full, "pss", full.uss))
    return total
