"""The body of an HTTP request on a connection that goes on after it."""

from __future__ import annotations

from collections.abc import Callable
from io import BufferedIOBase
from typing import Any, BinaryIO, Protocol

_LINE = 1024  # bytes of a chunk's first line


class Headers(Protocol):
    """What finds a header whatever the case of its name, as `email.message.Message` does."""

    def get(self, name: str, /) -> Any: ...


def body_of(
    headers: Headers, stream: BinaryIO | BufferedIOBase, wanted: Callable[[], None] | None
) -> Body | None:
    """The body that ``headers`` announce; None where they contradict themselves.

    Args:
        headers: of the request; clients write their names in capitals or not.
        stream: where it comes from.
        wanted: called once before the first byte is read.
    """
    coding = (headers.get("Transfer-Encoding") or "").strip().lower()
    length = headers.get("Content-Length")
    if coding:
        return Body(stream, 0, wanted, chunked=True) if coding == "chunked" and length is None else None
    if length is None:
        return Body(stream, 0, None)
    return Body(stream, int(length), wanted) if length.isascii() and length.isdigit() else None


class Body:
    """A file-like object that ends where the body does.

    Raises:
        ConnectionError: from any of its methods: the client stopped before the end.
    """

    def __init__(
        self,
        stream: BinaryIO | BufferedIOBase,
        length: int,
        wanted: Callable[[], None] | None,
        *,
        chunked: bool = False,
    ) -> None:
        self._stream = stream
        self._left = length  # of the body, or of the present chunk
        self._wanted = wanted
        self._chunked = chunked
        self._ended = not chunked and not length

    def read(self, size: int = -1) -> bytes:
        """As many bytes as asked for, fewer only at the end."""
        parts = []
        while size and (part := self._some(size)):
            parts.append(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    def readline(self, size: int = -1) -> bytes:
        """One line, or its first ``size`` bytes."""
        line = bytearray()
        while len(line) != size and self._ready():
            part = self._stream.readline(min(self._left, size - len(line)) if size > 0 else self._left)
            self._took(part)
            line += part
            if line.endswith(b"\n"):
                break
        return bytes(line)

    def drained(self, limit: int) -> bool:
        """Read what is left, up to ``limit`` bytes.

        Returns:
            Whether the connection is at the end of the request.
        """
        if self._wanted is not None and not self._ended:
            return False  # the client waits for a word and then need not send anything
        try:
            while not self._ended and limit > 0:
                limit -= len(self._some(1 << 16))
        except OSError:
            return False
        return self._ended

    def _some(self, size: int) -> bytes:
        if not self._ready():
            return b""
        part = self._stream.read(min(self._left, size if size > 0 else 1 << 16, 1 << 20))
        self._took(part)
        return part

    def _took(self, part: bytes) -> None:
        if not part:
            raise ConnectionError("the client stopped in the middle of a request")
        self._left -= len(part)
        if not self._left and not self._chunked:
            self._ended = True
        elif not self._left and self._stream.readline(_LINE).strip():
            raise ConnectionError("a chunk does not end where it should")

    def _ready(self) -> bool:
        """Whether there is more."""
        if self._ended:
            return False
        if self._wanted is not None:
            self._wanted()
            self._wanted = None
        if self._chunked and not self._left:
            try:
                self._left = int(self._stream.readline(_LINE).partition(b";")[0], 16)
            except ValueError:
                raise ConnectionError("not a chunk") from None
            if self._left <= 0:
                while self._stream.readline(_LINE).strip():
                    pass  # trailers
                self._ended = True
        return not self._ended
