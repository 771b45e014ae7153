"""What the front and a worker say to each other: a length, a JSON header, then bodies as they are.

Nothing is pickled. A request's body goes from the client's packets to the worker's one buffer without
being put together in between: at 6 MB a copy costs as much as the rest of the way. An image is decoded
from that buffer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_LENGTH = struct.Struct("!I")
_LONGEST = 16 << 20  # bytes of a header; more than any answer about a batch has
LENGTHS = "lengths"
"""The header's key for how many bytes each body has."""


def write(
    stream: asyncio.StreamWriter, header: Mapping[str, Any], bodies: Iterable[Sequence[bytes]] = ()
) -> None:
    """Put a message into ``stream``'s buffer; a body is its pieces one after the other."""
    pieces = list(bodies)
    stream.write(_head(header, [sum(map(len, body)) for body in pieces]))
    for body in pieces:
        for piece in body:
            stream.write(piece)


async def read(stream: asyncio.StreamReader) -> tuple[dict[str, Any], list[bytes]]:
    """The next message.

    Raises:
        asyncio.IncompleteReadError: whoever is at the other end has ended.
        ValueError: it is no message of ours.
    """
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    header = _header(await stream.readexactly(_checked(length)))
    return header, [await stream.readexactly(size) for size in header.pop(LENGTHS)]


def send(channel: socket.socket, header: Mapping[str, Any], bodies: Iterable[bytes] = ()) -> None:
    """Send a message from the side that waits.

    Raises:
        OSError: the other end is closed.
    """
    pieces = list(bodies)
    channel.sendall(_head(header, [len(body) for body in pieces]))
    for body in pieces:
        channel.sendall(body)


def receive(channel: socket.socket) -> tuple[dict[str, Any], list[bytearray]]:
    """The next message, on the side that waits; bodies are writable, so that tensors can share them.

    Raises:
        EOFError: the other end is closed.
    """
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    header = _header(bytes(_exactly(channel, _checked(length))))
    return header, [_exactly(channel, size) for size in header.pop(LENGTHS)]


def _head(header: Mapping[str, Any], lengths: Sequence[int]) -> bytes:
    text = json.dumps({**header, LENGTHS: lengths}, separators=(",", ":")).encode()
    return _LENGTH.pack(_checked(len(text))) + text


def _header(text: bytes) -> dict[str, Any]:
    header: dict[str, Any] = json.loads(text)
    return header


def _checked(length: int) -> int:
    if length > _LONGEST:
        raise ValueError(f"a header of {length} bytes")
    return length


def _exactly(channel: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        count = channel.recv_into(view[got:])
        if not count:
            raise EOFError("the other end is closed")
        got += count
    return buffer
