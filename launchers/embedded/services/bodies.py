"""Request bodies: received, compared with what was signed and promised, kept on disk where they are large."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.chunks import KINDS, PREFIX, Chunks
from launchers.embedded.services.message import Message
from launchers.embedded.services.signature import UNSIGNED_PAYLOAD, Claim

LIMIT = 16 << 20  # bytes of a body that is kept in memory
_CHUNK = 1 << 20  # bytes at a time
_CHECKSUM = "x-amz-checksum-"


@dataclass(frozen=True)
class Upload:
    """What a client sent to be kept."""

    path: Path
    size: int
    md5: str
    checksums: dict[str, str]
    """Header name to value in base 64, those of the trailer too."""


class _Sum(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc32:
    """zlib's CRC-32 with hashlib's manners."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


# CRC32C and CRC64NVME are taken as they come: the standard library does not compute them.
_SUMS: dict[str, Callable[[], _Sum]] = {
    "crc32": Crc32,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}


def read(message: Message, limit: int = LIMIT) -> bytes:
    """A small body, whole.

    Raises:
        ServiceError: it is larger than ``limit`` bytes.
    """
    data = message.body.read(limit + 1)
    if len(data) > limit:
        raise ServiceError("RequestEntityTooLarge", f"The request is larger than {limit} bytes", 413)
    return data


def check_hash(payload: str, data: bytes) -> None:
    """
    Raises:
        ServiceError: ``data`` is not what was signed.
    """
    if payload != UNSIGNED_PAYLOAD and hashlib.sha256(data).hexdigest() != payload:
        raise _changed()


def receive(message: Message, claim: Claim, key: Key, path: Path) -> Upload:
    """Write the body to ``path`` as it comes in.

    Args:
        message: a request whose signature is right.
        claim: that signature.
        key: what it was made with.
        path: a new file.

    Raises:
        ServiceError: the body is not what was signed, or not what its checksums say.
        ConnectionError: the client went away.
    """
    payload = claim.payload or UNSIGNED_PAYLOAD
    chunks = None
    if payload.startswith(PREFIX):
        if payload not in KINDS:
            raise ServiceError("InvalidArgument", f"x-amz-content-sha256: {payload[:80]} is not supported")
        chunks = Chunks(message.body, claim, key)
    source: Iterable[bytes] = chunks if chunks is not None else _pieces(message.body)
    covered = payload != UNSIGNED_PAYLOAD and chunks is None
    md5, sums, size = hashlib.md5(usedforsecurity=False), _sums(message), 0
    if covered:
        sums.setdefault("sha256", hashlib.sha256())
    with path.open("xb") as file:
        for piece in source:
            file.write(piece)
            md5.update(piece)
            for total in sums.values():
                total.update(piece)
            size += len(piece)
    if covered and sums["sha256"].digest().hex() != payload:
        raise _changed()
    promised = {name: value for name, value in message.headers if name.startswith(_CHECKSUM)}
    promised |= chunks.trailer if chunks is not None else {}
    _check_sums(message, promised, sums, md5.digest(), size)
    return Upload(path, size, md5.hexdigest(), {n: v for n, v in promised.items() if n.startswith(_CHECKSUM)})


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    while piece := stream.read(_CHUNK):
        yield piece


def _sums(message: Message) -> dict[str, _Sum]:
    """What has to be added up: checksums in the headers, and those announced for the trailer."""
    names = [name for name, _ in message.headers]
    names += [name.strip().lower() for name in message.header("x-amz-trailer").split(",")]
    kinds = {name.removeprefix(_CHECKSUM) for name in names if name.startswith(_CHECKSUM)}
    return {kind: _SUMS[kind]() for kind in kinds if kind in _SUMS}


def _check_sums(
    message: Message, promised: dict[str, str], sums: dict[str, _Sum], md5: bytes, size: int
) -> None:
    length = message.header("x-amz-decoded-content-length")
    if length and length != str(size):
        raise ServiceError("IncompleteBody", f"The body has {size} bytes and not {length}")
    if (sent := message.header("content-md5")) and sent != base64.b64encode(md5).decode():
        raise ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    for kind, total in sums.items():
        sent = promised.get(f"{_CHECKSUM}{kind}", "")
        if sent and sent != base64.b64encode(total.digest()).decode():
            raise ServiceError(
                "BadDigest", f"The {kind.upper()} you specified did not match what we received."
            )


def _changed() -> ServiceError:
    return ServiceError(
        "XAmzContentSHA256Mismatch", "The body is not the one that was signed (x-amz-content-sha256)", 403
    )
