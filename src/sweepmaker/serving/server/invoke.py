"""``POST /invocations``: take the body in within its limits, have a worker answer, say what it said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.server.jobs import Job
from sweepmaker.serving.server.metrics import Metrics
from sweepmaker.serving.server.pool import Pool
from sweepmaker.serving.server.settings import Settings
from sweepmaker.serving.server.worker import Reply

BODY_S = 30.0  # for a body to come in
_UNREAD = 64 << 20  # bytes of a body that is too large which are still taken in, so that its sender reads why
_UNREAD_S = 5.0  # likewise
_HELD = 256 << 20  # bytes of bodies in this process, above what the queue may hold
_FIELD = 1024  # characters of a header that are looked at


class Invocations:
    """The endpoint.

    Args:
        settings: with the limits.
        pool: answers.
        metrics: get what happens here.
    """

    def __init__(self, settings: Settings, pool: Pool, metrics: Metrics) -> None:
        self._limit = int(settings.limits.payload_mb * 2**20)
        self._megabytes = settings.limits.payload_mb
        self._pool = pool
        self._metrics = metrics
        self._held = 0

    async def __call__(self, request: Request) -> Response:
        """
        Raises:
            RequestError: with the status and the message of the answer.
        """
        held = _Held(self)
        try:
            body = await self._body(request, held)
            self._metrics.received.inc(held.size)
            job = Job(
                content_type=_field(request, "content-type"),
                accept=_field(request, "accept"),
                body=body,
                answer=asyncio.get_running_loop().create_future(),
            )
            reply = await self._answered(request, job)
        finally:
            held.release()
        return self._response(job, reply)

    async def _body(self, request: Request, held: _Held) -> list[bytes]:
        """The body in its pieces; one that is refused is read on a little, so that its sender reads why."""
        try:
            async with asyncio.timeout(BODY_S):
                return await self._read(request, held)
        except TimeoutError:
            raise RequestError(408, f"the body did not come within {BODY_S:g} s") from None

    async def _read(self, request: Request, held: _Held) -> list[bytes]:
        refusal: RequestError | None = None
        try:
            self._pool.admit()
            self._check_length(request)
        except RequestError as error:
            refusal = error
            if request.headers.get("expect", "").lower() == "100-continue":
                raise  # the client waits for a word before it sends the body
        stream = request.stream()
        if refusal is not None:
            await _pass_over(request, stream)
            raise refusal
        pieces: list[bytes] = []
        async for piece in stream:
            if (refusal := held.refusal(len(piece), self._limit)) is not None:
                pieces.clear()
                await _pass_over(request, stream)
                raise refusal
            pieces.append(piece)
        return pieces

    def _check_length(self, request: Request) -> None:
        length = request.headers.get("content-length", "")
        if length.isdigit() and int(length) > self._limit:
            raise self.too_large()

    def too_large(self) -> RequestError:
        """The refusal of a body above the limit."""
        return RequestError(413, f"the body has more than {self._megabytes:g} MB ({self._limit:,} bytes)")

    async def _answered(self, request: Request, job: Job) -> Reply:
        """The pool's reply; a client that goes away takes its request with it."""
        answer = asyncio.create_task(self._pool.answer(job))
        left = asyncio.create_task(_disconnected(request))
        try:
            await asyncio.wait({answer, left}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise ClientDisconnect
            return answer.result()
        finally:
            for task in (answer, left):
                task.cancel()

    def _response(self, job: Job, reply: Reply) -> Response:
        if reply.status != 200:
            raise RequestError(
                reply.status, reply.body.decode("utf-8", "replace"), retry_after_s=reply.retry_after_s
            )
        self._metrics.model_seconds.observe(reply.model_s)
        queued = (job.taken or job.arrived) - job.arrived
        timing = {"queue": queued, "read": reply.read_s, "model": reply.model_s}
        headers = {
            "content-type": reply.content_type,
            "server-timing": ", ".join(f"{name};dur={1000 * value:.1f}" for name, value in timing.items()),
        }
        return Response(reply.body, headers=headers)


class _Held:
    """The bytes that one request holds in this process."""

    def __init__(self, whole: Invocations) -> None:
        self._whole = whole
        self.size = 0

    def refusal(self, more: int, limit: int) -> RequestError | None:
        """Count ``more`` bytes in; or why they cannot be taken."""
        if self.size + more > limit:
            return self._whole.too_large()
        whole = self._whole
        if whole._held + more > _HELD + whole._limit * whole._pool.queue:
            return RequestError(503, "too many bodies are on their way", retry_after_s=1)
        self.size += more
        whole._held += more
        return None

    def release(self) -> None:
        """The request is over."""
        self._whole._held -= self.size


async def _pass_over(request: Request, stream: AsyncIterator[bytes]) -> None:
    """Take in what is left of a body that nobody wants, as far as it pays and as long as it comes."""
    unread = 0
    try:
        async with asyncio.timeout(_UNREAD_S):
            async for piece in stream:
                unread += len(piece)
                if unread > _UNREAD:
                    request.state.cut = True
                    return
    except TimeoutError:
        request.state.cut = True


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _field(request: Request, name: str) -> str | None:
    value = request.headers.get(name)
    return None if value is None else value[:_FIELD]


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """``{"error": message}``."""
    body: dict[str, Any] = {"error": message}
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace"),
        status,
        headers=headers,
        media_type="application/json",
    )
