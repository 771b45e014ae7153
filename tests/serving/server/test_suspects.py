"""Who may have been a worker's end is remembered for a while, and nobody else is hashed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from sweepmaker.serving.server.jobs import Job, Jobs
from sweepmaker.serving.server.suspects import REMEMBERED_S, TRIES, Suspects


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with asyncio.Runner() as runner:
        yield runner.get_loop()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def job(loop: asyncio.AbstractEventLoop, body: bytes, kind: str = "image/png") -> Job:
    return Job(kind, None, [body[:3], body[3:]], loop.create_future())


def test_costs_add_up_and_are_forgotten_after_a_while(loop: asyncio.AbstractEventLoop) -> None:
    clock = Clock()
    known, same = Suspects(clock), job(loop, b"stalled")
    assert known.cost(same) is None
    known.add(same, 1)
    clock.now += REMEMBERED_S / 2
    known.add(job(loop, b"stalled"), 1)
    assert known.cost(same) == TRIES
    assert known.cost(job(loop, b"stalled", "image/jpeg")) is None
    clock.now += REMEMBERED_S  # since the last one
    assert known.cost(same) == TRIES
    clock.now += 1
    assert known.cost(same) is None
    known.add(same, 1)  # months later: it begins anew
    assert known.cost(same) == 1


def test_a_cost_of_long_ago_does_not_count(loop: asyncio.AbstractEventLoop) -> None:
    clock = Clock()
    known, same = Suspects(clock), job(loop, b"stalled")
    known.add(same, 1)
    clock.now += REMEMBERED_S + 1
    known.add(same, 1)  # nobody has asked for any in between
    assert known.cost(same) == 1


def test_one_that_is_answered_is_forgotten_and_no_other(loop: asyncio.AbstractEventLoop) -> None:
    known = Suspects()
    known.add(job(loop, b"stalled"), 1)
    known.add(job(loop, b"endless"), 0)
    known.forget(job(loop, b"another"))
    known.forget(job(loop, b"stalled"))
    assert known.cost(job(loop, b"stalled")) is None
    assert known.cost(job(loop, b"endless")) == 0


def test_only_what_is_as_long_as_a_suspect_is_hashed(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Suspects()
    known.add(job(loop, b"stalled"), TRIES)

    def digest(self: Job) -> bytes:
        raise AssertionError("hashed")

    with monkeypatch.context() as patch:
        patch.setattr(Job, "digest", digest)
        other = job(loop, b"an image")
        assert known.cost(other) is None
        known.forget(other)
    assert known.cost(job(loop, b"stalled")) == TRIES


def test_the_oldest_give_way(loop: asyncio.AbstractEventLoop) -> None:
    known = Suspects()
    for number in range(300):
        known.add(job(loop, b"%d" % number), 1)
    found = [known.cost(job(loop, b"%d" % number)) for number in range(300)]
    assert found == [None] * 44 + [1] * 256


def test_suspects_are_taken_alone_in_their_turn() -> None:
    async def taken() -> list[list[bytes]]:
        queue, loop = Jobs(latency_s=0), asyncio.get_running_loop()
        for body in (b"1", b"2", b"suspect", b"3", b"4"):
            one = job(loop, body)
            one.alone = body == b"suspect"
            queue.put(one)
        return [[b"".join(one.body) for one in await queue.take(8)] for _ in range(3)]

    assert asyncio.run(taken()) == [[b"1", b"2"], [b"suspect"], [b"3", b"4"]]
