"""One HTTP request as it came over the wire, and what is answered to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

HEADERS = "sweepmaker.headers"
"""Environ key of the header lines as sent: a list of (name in lower case, value)."""
_CHUNK = 1 << 20  # bytes of a file at a time


@dataclass(frozen=True)
class Message:
    """A request. Path and query are percent-encoded, just as the client sent (and signed) them."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    environ: dict[str, Any] = field(repr=False)

    @classmethod
    def of_environ(cls, environ: dict[str, Any]) -> Message:
        """From WSGI's environ; without `HEADERS` in it the names are guessed from WSGI's own."""
        uri = str(environ.get("RAW_URI") or environ["PATH_INFO"])
        path, _, query = uri.partition("?")
        headers = environ.get(HEADERS) or [*_headers(environ)]
        return cls(str(environ["REQUEST_METHOD"]), path or "/", query, tuple(headers), environ)

    def header(self, name: str, default: str = "") -> str:
        """All lines of one name, joined as HTTP says."""
        found = [value for key, value in self.headers if key == name]
        return ",".join(found) if found else default

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The query, decoded: a plus sign stands for itself, as in SigV4."""
        raw = (item.partition("=") for item in self.query.split("&") if item)
        return [(unquote(name), unquote(value)) for name, _, value in raw]

    def parameter(self, name: str) -> str:
        return next((value for key, value in self.pairs if key == name), "")

    @property
    def body(self) -> BinaryIO:
        return cast(BinaryIO, self.environ["wsgi.input"])


def _headers(environ: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH") or key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-").lower(), str(value)


@dataclass
class Slice:
    """Bytes of an open file, handed out once and piece by piece."""

    file: BinaryIO
    start: int
    length: int

    @classmethod
    def of_path(cls, path: Path, start: int, length: int) -> Slice:
        return cls(path.open("rb"), start, length)

    def __iter__(self) -> Iterator[bytes]:
        self.file.seek(self.start)
        left = self.length
        while left > 0 and (chunk := self.file.read(min(_CHUNK, left))):
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        """WSGI servers call it at the end, whatever that was."""
        self.file.close()


@dataclass
class Reply:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes | Slice = b""

    @property
    def line(self) -> str:
        """Status as WSGI wants it."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"
