"""uvicorn's HTTP/1.1 protocol with bounds for slow clients, and its server with an end that loses nothing.

h11 reads the requests: it is strict about what a request is, which keeps two readers of the same bytes
from seeing two different requests, and its part of a request's time does not show beside a model's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import Server

HEAD_S = 10.0  # until the head of a request is complete, and for what is left of a body that is not wanted
IDLE_S = 75.0  # of a connection between two requests; load balancers give up after 60
WRITE_S = 30.0  # for a client to take what is sent
CONNECTIONS = 1024
_REFUSED_S = 2.0  # for a client to read why it is refused
_LINGER_S = 1.0  # at the end, for new connections
_QUIET_S = 0.25  # without news on any connection, before those that are open are closed at the end
_LOOK_S = 0.02


class Protocol(H11Protocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            self._refuse(503, f"there are {CONNECTIONS} connections already", b"retry-after: 1\r\n")
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if not self._refused:
            self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def _watch(self) -> None:
        """Have a deadline while the head of a request, or a body that nobody reads, is on its way."""
        state = self.conn.their_state
        answered = self.cycle is not None and self.cycle.response_complete
        # between two requests, without a byte of the next one, uvicorn's own timer is on
        head = state is h11.IDLE and self.timeout_keep_alive_task is None
        waits = head or (state is h11.SEND_BODY and answered)
        if waits and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_S, self.transport.abort)
        elif not waits and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as far as anything can still be answered."""
        error = sys.exception()
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        self._refuse(status, "this is no HTTP/1.1 request" if status == 400 else str(error))

    def _refuse(self, status: int, message: str, headers: bytes = b"") -> None:
        body = json.dumps({"error": message}).encode()
        own = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
        head = f"HTTP/1.1 {status} \r\n{own}".encode() + headers
        self.transport.write(head + b"\r\n" + body)
        # closed with something unread, the kernel would take the answer back: the client closes first
        self._refused = True
        self.transport.write_eof()
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_REFUSED_S, self.transport.abort)

    @property
    def at_work(self) -> bool:
        """Whether a request has begun and is not answered yet."""
        return self.cycle is not None and not self.cycle.response_complete


class Front(Server):
    """uvicorn's server on a socket that is there already; whoever runs it listens to the signals.

    Args:
        app: the ASGI application.
        listener: bound.
    """

    def __init__(self, app: Any, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=int(IDLE_S),
                backlog=CONNECTIONS,
            )
        )
        self._listener = listener
        self._ticks: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Accept connections."""
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.on_tick(0)  # the date that is in every answer
        await self.startup(sockets=[self._listener])
        self._ticks = asyncio.create_task(self.main_loop(), name="ticks")

    async def drain(self, within_s: float) -> bool:
        """Answer what has come, then hang up; whether everything was answered in time.

        Connections are still taken in until nothing new comes for a moment: those that the kernel has
        accepted would be lost otherwise, and so would a request that a client is just sending on a
        connection that it believes is open. Answers say ``Connection: close`` meanwhile.

        Args:
            within_s: seconds.
        """
        end = asyncio.get_running_loop().time() + within_s
        await self._quiet(min(within_s, _LINGER_S))
        await self._take_in()
        for server in self.servers:
            server.close()
        await self._quiet(max(0.0, end - asyncio.get_running_loop().time()))
        late = [one for one in self.server_state.connections if self._at_work(one)]
        for connection in list(self.server_state.connections):
            connection.shutdown()
        return not late

    async def _quiet(self, within_s: float) -> None:
        """Wait until no request is at work and none has come for a moment, or until the time is over."""
        loop = asyncio.get_running_loop()
        end, quiet = loop.time() + within_s, loop.time()
        seen = (-1, -1)
        while loop.time() < end:
            at_work = sum(self._at_work(one) for one in self.server_state.connections)
            news = (self.server_state.total_requests, len(self.server_state.connections))
            if at_work or news != seen:
                quiet, seen = loop.time(), news
            elif loop.time() - quiet > _QUIET_S:
                return
            await asyncio.sleep(_LOOK_S)

    async def _take_in(self) -> None:
        """Accept what is waiting in the kernel: closing the listener resets those."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # none left
                return
            connection.setblocking(False)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Protocol(self.config, self.server_state, self.lifespan.state), connection
            )

    async def close(self) -> None:
        """Hang up on whoever is still there."""
        self.should_exit = True
        if self._ticks is not None:
            await self._ticks
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        self._listener.close()

    @staticmethod
    def _at_work(connection: Any) -> bool:
        return isinstance(connection, Protocol) and connection.at_work


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: the address cannot be had.
    """
    family, kind, number, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, number)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
