"""What the server answers: SageMaker's two paths, metrics, its own description, the page."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.server import openapi, page
from sweepmaker.serving.server.guard import Guard
from sweepmaker.serving.server.invoke import Invocations, error_response
from sweepmaker.serving.server.metrics import CONTENT_TYPE, Metrics
from sweepmaker.serving.server.pool import Pool
from sweepmaker.serving.server.settings import Settings


class Site:
    """The ASGI application and what changes in it while it runs.

    Args:
        settings: of the server.
        pool: answers requests.
        metrics: are shown.
    """

    def __init__(self, settings: Settings, pool: Pool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._description = json.dumps(openapi.describe(settings.limits.payload_mb)).encode()
        self._page = page.render(settings)
        routes = [
            Route("/ping", self._ping, methods=["GET"]),
            Route("/invocations", Invocations(settings, pool, metrics).__call__, methods=["POST"]),
            Route("/metrics", self._show_metrics, methods=["GET"]),
            Route("/openapi.json", self._describe, methods=["GET"]),
            Route("/", self._show_page, methods=["GET"]),
        ]
        handlers: dict[Any, Any] = {
            RequestError: _refuse,
            HTTPException: _http,
            ClientDisconnect: _gone,
            Exception: _failed,  # Starlette raises it again afterwards, and uvicorn logs it
        }
        inner = Starlette(routes=routes, exception_handlers=handlers)
        inner.router.redirect_slashes = False
        paths = frozenset(route.path for route in routes)
        self.app = Guard(inner, settings.host, metrics, paths)

    async def _ping(self, request: Request) -> Response:
        """200 while at least one worker answers."""
        if self.app.draining or not self._pool.ready:
            why = "the server is ending" if self.app.draining else "the model is not ready"
            return error_response(503, why, {"retry-after": "1"})
        return Response(b'{"status": "ready"}', media_type="application/json")

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def _describe(self, request: Request) -> Response:
        return Response(self._description, media_type="application/json")

    async def _show_page(self, request: Request) -> Response:
        return Response(
            self._page.html,
            headers={
                "content-type": "text/html; charset=utf-8",
                "content-security-policy": self._page.policy,
                "referrer-policy": "no-referrer",
            },
        )


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
    if error.status == 408 or "expect" in request.headers or hasattr(request.state, "cut"):
        headers["connection"] = "close"  # what is left of the body is not waited for
    return error_response(error.status, error.message, headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    return error_response(400, "the client has left")


async def _failed(request: Request, error: Exception) -> Response:
    return error_response(500, "the server failed; its log says why")
