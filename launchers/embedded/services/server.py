"""An HTTP/1.1 server for `Services`: loopback only, one thread a connection, connections kept open."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from urllib.parse import unquote_to_bytes

from launchers.embedded.services.message import HEADERS
from launchers.embedded.services.wire import Body, body_of

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_TIMEOUT = 300  # seconds without a byte before a connection is given up
_DRAIN = 64 << 20  # bytes of an unread body that are taken in, so that the client reads the answer
_META = "x-amz-meta-"


class Server:
    """Serves ``app`` on 127.0.0.1.

    Args:
        app: a WSGI application.
        port: 0: any free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, app: App, port: int = 0) -> None:
        self._http = _Http(app, port)
        self.port: int = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.05,), name="http", daemon=True
        )

    @property
    def last_request(self) -> float:
        """When a request was last at work here, as `time.monotonic` has it."""
        return self._http.last_request

    def start(self) -> None:
        """Answer, in threads of its own."""
        self._thread.start()

    def stop(self) -> None:
        """No new requests; those at work get a moment. The port is free afterwards."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()
        self._http.hang_up()


class _Http(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self._lock = threading.Lock()
        self._open: dict[socket.socket, bool] = {}  # whether a request is at work on it
        self._last = time.monotonic()
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def last_request(self) -> float:
        with self._lock:
            return time.monotonic() if any(self._open.values()) else self._last

    def process_request(self, request: Any, client_address: Any) -> None:
        self.mark(request, False)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.mark(request, None)
        super().shutdown_request(request)

    def mark(self, connection: socket.socket, at_work: bool | None) -> None:
        """``None``: the connection is closed."""
        with self._lock:
            if at_work is None:
                self._open.pop(connection, None)
                return
            self._last = time.monotonic()
            self._open[connection] = at_work

    def hang_up(self, grace: float = 2.0) -> None:
        """Close all connections: idle ones at once, the others after ``grace`` seconds at most."""
        deadline = time.monotonic() + grace
        while True:
            with self._lock:
                late = time.monotonic() > deadline
                for connection, at_work in self._open.items():
                    if late or not at_work:
                        _shut(connection)
                if not self._open or time.monotonic() > deadline + grace:
                    return
            time.sleep(0.01)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Http

    def version_string(self) -> str:
        return "sweepmaker"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: refusals are told to the client, failures to stderr by the application."""

    def handle_expect_100(self) -> bool:
        """Told when the body is wanted: a request that is refused need not send it."""
        return True

    def _answer(self) -> None:
        self.server.mark(self.connection, True)
        try:
            self._serve()
        finally:
            self.server.mark(self.connection, False)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def _serve(self) -> None:
        expects = self.headers.get("Expect", "").lower() == "100-continue"
        body = body_of(self.headers, self.rfile, self._go_on if expects else None)
        if body is None:
            self.close_connection = True
            self.send_error(400, "Bad Content-Length or Transfer-Encoding")
            return
        content = self.server.app(self._environ(body), self._start)
        try:
            self._head(body)
            if self.command != "HEAD":
                for piece in content:
                    self.wfile.write(piece)
            self.wfile.flush()
        finally:
            if close := getattr(content, "close", None):
                close()

    def _go_on(self) -> None:
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.wfile.flush()

    def _start(self, status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
        self._status, self._headers = status, headers

    def _head(self, body: Body) -> None:
        """Send the head of the answer; what was not read of the request is dealt with first."""
        if not body.drained(_DRAIN):
            self.close_connection = True
        code, _, phrase = self._status.partition(" ")
        self.send_response(int(code), phrase)
        for name, value in self._headers:
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _environ(self, body: Body) -> dict[str, Any]:
        """WSGI's, and the header lines as they came: signatures are about those."""
        path, _, query = self.path.partition("?")
        lines = [(name.lower(), value) for name, value in self.headers.items()]
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": _decoded(path),
            "QUERY_STRING": query,
            "RAW_URI": self.path,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": body,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            HEADERS: lines,
            "moto.preserved_header_names": {},
        }
        dashed = {name for name, _ in lines if "_" not in name}
        for name, value in lines:
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            if "_" in name:  # else x-amz_date could stand in for x-amz-date
                if not name.startswith(_META) or name.replace("_", "-") in dashed:
                    continue
                environ["moto.preserved_header_names"][key] = name
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ


def _decoded(path: str) -> str:
    return unquote_to_bytes(path).decode("latin-1")
