"""Slow clients and too many of them, with the bounds made short: in this process, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sweepmaker.serving.server import protocol
from sweepmaker.serving.server.protocol import Front, bind

SHORT_S = 0.3


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEAD_S", "WRITE_S"):
        monkeypatch.setattr(protocol, name, SHORT_S)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers at once, whether the body has come or not; /much answers more than any buffer holds."""
    size = 64 << 20 if scope["path"] == "/much" else 2
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": b"o" * size})


def serving(work: Callable[[int], Awaitable[None]]) -> None:
    """Do ``work`` with the port of a server."""

    async def run() -> None:
        listener = bind("127.0.0.1", 0)
        front = Front(app, listener)
        await front.open()
        try:
            await asyncio.wait_for(work(listener.getsockname()[1]), 60)
        finally:
            await front.close()

    asyncio.run(run())


async def closes(reader: asyncio.StreamReader) -> bool:
    """Whether the server hangs up, and not only after its usual idle time."""
    try:
        return await asyncio.wait_for(reader.read(), 20) is not None
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HTTP/1.1\r\nHost:", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"],
    ids=["nothing", "half a head", "half a body that nobody wants"],
)
def test_who_sends_too_slowly_is_hung_up_on(sent: bytes) -> None:
    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await closes(reader)
        writer.close()

    serving(work)


def test_a_drop_now_and_then_does_not_help() -> None:
    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        closed = asyncio.create_task(closes(reader))
        for number in range(200):
            if closed.done():
                break
            writer.write(b"X-%d: y\r\n" % number)
            await asyncio.sleep(SHORT_S / 10)
        assert await closed
        writer.close()

    serving(work)


def test_the_second_request_has_a_deadline_too() -> None:
    async def work(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\noo")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(2 * SHORT_S)  # idle: that is allowed
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\noo")).startswith(b"HTTP/1.1 200")
        writer.write(b"GET / HT")
        assert await closes(reader)
        writer.close()

    serving(work)


def test_who_does_not_take_the_answer_is_hung_up_on() -> None:
    async def work(port: int) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(4 * SHORT_S)
            got = 0
            try:
                while piece := await loop.sock_recv(connection, 1 << 20):
                    got += len(piece)
            except ConnectionError:
                pass
            assert got < 64 << 20

    serving(work)


def test_more_connections_than_allowed_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 2)

    async def work(port: int) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in kept:
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        for reader, _ in kept:
            await reader.readuntil(b"\r\n\r\noo")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in found
        for _, one in [*kept, (reader, writer)]:
            one.close()

    serving(work)
