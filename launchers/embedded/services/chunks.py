"""Bodies in signed or unsigned chunks with a trailer (``aws-chunked``), as S3's clients send them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import BinaryIO

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.refusals import BAD_SIGNATURE
from launchers.embedded.services.signature import EMPTY_HASH, Claim

PREFIX = "STREAMING-"
KINDS = frozenset(
    {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    }
)
_LINE = 8192  # bytes of a chunk's first line or of a trailer's line
_LARGEST = 16 << 20  # bytes of one chunk; the SDKs send 64 KiB to 1 MiB
_TRAILERS = 16


class Chunks:
    """Decodes such a body; `trailer` is there once all of it was read.

    Args:
        stream: the body as sent.
        claim: the request's own signature, already checked; it signs the first chunk.
        key: what it was signed with.
    """

    def __init__(self, stream: BinaryIO, claim: Claim, key: Key) -> None:
        self._stream = stream
        self._claim = claim
        self._key = key
        self._signed = "AWS4-HMAC-SHA256" in (claim.payload or "")
        self._previous = claim.signature
        self.trailer: dict[str, str] = {}

    def __iter__(self) -> Iterator[bytes]:
        """
        Raises:
            ServiceError: the chunks are not well formed, or not signed right.
        """
        while True:
            size, signature = self._head()
            data = self._exactly(size)
            self._check(signature, "PAYLOAD", f"{EMPTY_HASH}\n{hashlib.sha256(data).hexdigest()}")
            if not size:
                break
            yield data
            if self._exactly(2) != b"\r\n":
                raise _malformed()
        self._read_trailer()

    def _head(self) -> tuple[int, str]:
        size, _, extension = self._line().partition(";")
        try:
            number = int(size, 16)
        except ValueError:
            raise _malformed() from None
        if not 0 <= number <= _LARGEST:
            raise _malformed()
        return number, extension.strip().removeprefix("chunk-signature=")

    def _read_trailer(self) -> None:
        signature, lines = "", []
        for _ in range(_TRAILERS):
            line = self._line()
            if not line:
                break
            name, _, value = line.partition(":")
            if name.lower() == "x-amz-trailer-signature":
                signature = value.strip()
            else:
                self.trailer[name.strip().lower()] = value.strip()
                lines.append(f"{name.strip().lower()}:{value.strip()}\n")
        if lines:
            self._check(signature, "TRAILER", hashlib.sha256("".join(lines).encode()).hexdigest())

    def _check(self, signature: str, kind: str, hashes: str) -> None:
        if not self._signed:
            return
        expected = self._claim.sign(
            self._key,
            f"AWS4-HMAC-SHA256-{kind}\n{self._claim.date}\n{self._claim.scope}\n{self._previous}\n{hashes}",
        )
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise ServiceError(BAD_SIGNATURE, "A chunk of the body is not signed right", 403)
        self._previous = expected

    def _line(self) -> str:
        line = self._stream.readline(_LINE)
        if line and not line.endswith(b"\n"):
            raise _malformed()
        return line.decode("latin-1").rstrip("\r\n")

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._stream.read(size)
            if not part:
                raise _malformed()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _malformed() -> ServiceError:
    return ServiceError("IncompleteBody", "The body is not well-formed aws-chunked data")
