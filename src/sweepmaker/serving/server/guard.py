"""Around every request: its id, who may ask, the log line, the metrics, the headers of every answer."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sweepmaker.serving.server.invoke import error_response
from sweepmaker.serving.server.logs import say
from sweepmaker.serving.server.metrics import Metrics

_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_QUIET = ("/ping", "/metrics")  # asked for every few seconds for ever: only counted
_SAFE = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        host: that the server listens on; on a loopback address only requests to a loopback name are
            answered, since any page in a browser could have its own name lead there (DNS rebinding).
        metrics: count the answers.
        paths: that are counted by their name, others as "other".
    """

    def __init__(self, app: ASGIApp, host: str, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._names = {"localhost", host.lower()} if is_loopback(host) else None
        self._metrics = metrics
        self._paths = paths
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        start = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        asked = _Asked(given if _ID.fullmatch(given) else uuid.uuid4().hex, headers.get(_ATTRIBUTES), 0)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked.status = message["status"]
                self._finish(MutableHeaders(scope=message), asked)
            await send(message)

        try:
            if (refusal := self._refusal(headers)) is not None:
                await error_response(*refusal)(scope, receive, answer)
            else:
                await self._app(scope, receive, answer)
        finally:
            self._note(scope, headers, asked, time.perf_counter() - start)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        hosts = headers.getlist("host")
        if self._names is not None and (len(hosts) != 1 or not self._is_here(hosts[0])):
            return 421, "this server is for this machine only: ask for it as localhost or 127.0.0.1"
        origin = headers.get("origin")
        if origin is not None and (len(hosts) != 1 or urlsplit_host(origin) != hosts[0].lower()):
            return 403, "pages of other sites may not use this server"
        return None

    def _is_here(self, host: str) -> bool:
        name = re.sub(r":\d{1,5}$", "", host).strip("[]").lower()
        return name in (self._names or ()) or is_loopback(name)

    def _finish(self, headers: MutableHeaders, asked: _Asked) -> None:
        headers["x-request-id"] = asked.id
        if asked.attributes is not None:
            headers[_ATTRIBUTES] = asked.attributes
        for name, value in _SAFE.items():
            headers.setdefault(name, value)
        if self.draining:
            headers["connection"] = "close"

    def _note(self, scope: Scope, headers: Headers, asked: _Asked, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._paths else "other"
        self._metrics.requests.labels(path, str(asked.status or "gone")).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if path in _QUIET and asked.status in (200, 503):
            return
        facts: dict[str, Any] = {
            "id": asked.id,
            "method": scope["method"][:16],
            "path": scope["path"][:200],
            "status": asked.status or None,
            "ms": round(1000 * seconds, 2),
            "bytes": headers.get("content-length", "")[:12] or None,
            "type": headers.get("content-type", "")[:100] or None,
        }
        say("request" if asked.status else "client_left", **facts)


class _Asked:
    def __init__(self, id: str, attributes: str | None, status: int) -> None:
        self.id = id
        self.attributes = attributes
        self.status = status


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``, an address or ``localhost``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def urlsplit_host(origin: str) -> str:
    """Host and port of an Origin header; "" for ``null`` and whatever is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
