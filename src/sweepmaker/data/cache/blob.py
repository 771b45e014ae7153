"""One memory-mapped file of arrays that says itself whether it is whole.

Layout: the arrays' bytes, a JSON description, and a trailer of fixed size with the lengths and CRC-32
of both. The trailer comes last, so that a file cut anywhere has none, and a file can be written from
front to back without knowing beforehand how long it gets.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_MAGIC = b"SWMBLOB1"
_TRAILER = struct.Struct("<8sQQII")  # magic, bytes of arrays and description, CRC-32 of each
_ALIGNMENT = 64  # bytes; a cache line, and more than any dtype needs
_BLOCK = 1 << 24  # bytes read together while a file is checked
_LARGEST_DESCRIPTION = 1 << 28  # bytes; what lies about its length fills no memory
TAIL = 1 << 16  # bytes from which `about_of` knows what a file of few sections is about
_CHECKED = ".checked"
_DTYPES = {kind.str: kind for kind in map(np.dtype, ("|u1", "<i8", "<f4"))}  # what a section may hold
_MOST_AXES = 3


class Damaged(Exception):
    """The file is not what was written; the message says why."""


class Writer:
    """Appends arrays to an open file; `finish` makes the file whole."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0
        self._crc = 0
        self._sections: dict[str, dict[str, Any]] = {}

    def append(self, array: npt.NDArray[Any]) -> int:
        """Write an array's bytes; returns the offset at which they begin."""
        offset = self._size
        self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return offset

    def section(self, name: str, array: npt.NDArray[Any]) -> None:
        """Write an array that `Blob.array` gives back under its name."""
        self.section_of(name, array.dtype, array.shape, [array])

    def section_of(
        self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], pieces: Iterable[npt.NDArray[Any]]
    ) -> None:
        """As `section`, of an array that need not lie in memory: its values, in C order, piece by piece.

        Raises:
            ValueError: the pieces are of another dtype, or not as many values as the shape has.
        """
        self._write(b"\0" * (-self._size % _ALIGNMENT))
        self._sections[name] = {"dtype": dtype.str, "shape": shape, "offset": self._size}
        missing = math.prod(shape)
        for piece in pieces:
            if piece.dtype != dtype:
                raise ValueError(f"{name}: a piece of {piece.dtype} in an array of {dtype}")
            missing -= piece.size
            self.append(piece)
        if missing:
            raise ValueError(f"{name}: {missing} values are missing of an array {shape}")

    def finish(self, about: Mapping[str, Any]) -> None:
        """Write what the file is about (JSON) and the trailer, and see it on the disk."""
        text = json.dumps({"about": dict(about), "sections": self._sections}, ensure_ascii=False).encode()
        self._file.write(text)
        self._file.write(_TRAILER.pack(_MAGIC, self._size, len(text), self._crc, zlib.crc32(text)))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write(self, content: bytes | memoryview) -> None:
        self._file.write(content)
        self._crc = zlib.crc32(content, self._crc)
        self._size += len(content)


@dataclass(frozen=True)
class Blob:
    """A whole file, mapped. ``bytes_`` is private to the process: writing to it changes no file."""

    path: Path
    about: dict[str, Any]
    bytes_: npt.NDArray[np.uint8]
    _sections: dict[str, dict[str, Any]]

    def array(self, name: str) -> npt.NDArray[Any]:
        """A section, as a view of the mapped file: uint8, int64 or float32.

        Where it lies is whatever the author of the file wrote: nothing of it is believed.

        Raises:
            Damaged: there is none of that name, it is of another kind, or it reaches beyond the file.
        """
        try:
            place = self._sections[name]
            dtype, shape, begin = _DTYPES[place["dtype"]], list(place["shape"]), place["offset"]
            if len(shape) > _MOST_AXES or any(type(it) is not int or it < 0 for it in (*shape, begin)):
                raise ValueError("its place is impossible")
            end = begin + math.prod(shape) * dtype.itemsize
            if begin % dtype.itemsize or end > len(self.bytes_):
                raise ValueError("it does not lie within the file")
            return np.asarray(self.bytes_[begin:end]).view(dtype).reshape(shape)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Damaged(f"its section {name!r} cannot be read ({error})") from error

    def __reduce__(self) -> Any:  # a worker that is not forked maps the file itself
        return open_blob, (self.path,)


def open_blob(path: Path) -> Blob:
    """Map a file that is whole; its content is read and checked the first time it is seen unchanged.

    Raises:
        FileNotFoundError: there is none.
        Damaged: it is truncated, changed or no such file.
    """
    with path.open("rb") as file:
        state = _state(file)
        size, about, sections, crc = _read_end(file)
        if not _is_known(path, state):
            _check(file, size, crc)
            remember(path, state)
        # of the file that was checked: another one may have taken its name
        content = np.memmap(file, np.uint8, mode="c", shape=(size,)) if size else np.empty(0, np.uint8)
    return Blob(path, about, content, sections)


def remember(path: Path, state: str | None = None) -> None:
    """Keep beside the file that it was whole in this state; else it is checked again when it is opened."""
    try:
        if state is None:
            with path.open("rb") as file:
                state = _state(file)
        path.with_name(path.name + _CHECKED).write_text(state)
    except OSError:  # a read-only folder: only the time is lost
        pass


def _read_end(file: BinaryIO) -> tuple[int, dict[str, Any], dict[str, Any], int]:
    """(bytes of arrays, about, sections, CRC-32 of the arrays)"""
    whole = os.fstat(file.fileno()).st_size
    if whole < _TRAILER.size:
        raise Damaged("it is truncated")
    file.seek(whole - _TRAILER.size)
    magic, size, length, crc, text_crc = _TRAILER.unpack(file.read(_TRAILER.size))
    if magic != _MAGIC:
        raise Damaged("it is truncated, or no cache of this program")
    if length > _LARGEST_DESCRIPTION or size + length + _TRAILER.size != whole:
        raise Damaged(f"it has {whole} bytes and says {size + length + _TRAILER.size}")
    file.seek(size)
    text = file.read(length)
    if zlib.crc32(text) != text_crc:
        raise Damaged("its description was changed")
    return size, *_described(text), crc


def about_of(tail: bytes) -> dict[str, Any]:
    """What a file says that it is about, from its last bytes; whether the others are whole is not known.

    Args:
        tail: `TAIL` bytes, or a whole file.

    Raises:
        Damaged: it is no such file, or the description is longer.
    """
    end = len(tail) - _TRAILER.size
    if end < 0:
        raise Damaged("it is truncated")
    magic, _, length, _, crc = _TRAILER.unpack(tail[end:])
    if magic != _MAGIC or length > end or zlib.crc32(text := tail[end - length : end]) != crc:
        raise Damaged("it is truncated, or no cache of this program")
    return _described(text)[0]


def _described(text: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        content = json.loads(text)
        return dict(content["about"]), dict(content["sections"])
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise Damaged(f"its description cannot be read ({error})") from error


def _check(file: BinaryIO, size: int, crc: int) -> None:
    file.seek(0)
    found = 0
    while size:
        block = file.read(min(size, _BLOCK))
        if not block:
            raise Damaged("it is truncated")
        found = zlib.crc32(block, found)
        size -= len(block)
    if found != crc:
        raise Damaged("its content was changed")


def _state(file: BinaryIO) -> str:
    found = os.fstat(file.fileno())
    return f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}"


def _is_known(path: Path, state: str) -> bool:
    try:
        return path.with_name(path.name + _CHECKED).read_text() == state
    except (OSError, ValueError):
        return False
