"""A model folder as ``model.tar.gz``, as a training job leaves one: the same folder gives the same bytes."""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from sweepmaker.config.errors import UserError
from sweepmaker.run.disk import reason

NAME = "model.tar.gz"
_LEVEL = 1  # weights hardly become smaller, and higher levels take many times as long
_CODE = "code/"


@dataclass(frozen=True)
class Packed:
    """An archive.

    Attributes:
        path: of the file.
        size: bytes.
        digest: SHA-256 of its contents before compression, in hex: of the same model the same everywhere.
        sha256: of the file, in hex.
    """

    path: Path
    size: int
    digest: str
    sha256: str


def pack(folder: Path, path: Path) -> Packed:
    """Write all regular files below ``folder`` to ``path``.

    Raises:
        UserError: a file cannot be read.
    """
    with path.open("wb") as file:
        writer = _Gzip(file)
        # pax says how names are encoded; blocks of their own, as nothing can be sought in it
        with tarfile.open(
            fileobj=cast(BinaryIO, writer), mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8"
        ) as archive:
            for name, source in files(folder):
                _add(archive, name, source)
        writer.finish()
    return Packed(path, path.stat().st_size, writer.content.hexdigest(), writer.whole.hexdigest())


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Name in the archive and path of each file, in the archive's order; compiled code is left out."""
    found: dict[str, Path] = {}
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name != "__pycache__")
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                found[path.relative_to(folder).as_posix()] = path
    # the code last: who wants to know what the model is need not read all of it
    yield from sorted(found.items(), key=lambda file: (file[0].startswith(_CODE), file[0]))


def _add(archive: tarfile.TarFile, name: str, source: Path) -> None:
    entry = tarfile.TarInfo(name)  # time 0, owner 0, no names
    entry.mode = 0o644
    try:
        with source.open("rb") as content:
            entry.size = os.fstat(content.fileno()).st_size
            archive.addfile(entry, content)
    except OSError as error:
        raise UserError(f"{source} cannot be read: {reason(error)}") from error


class _Gzip:
    """gzip without time and name, which would make each archive another one."""

    def __init__(self, file: BinaryIO) -> None:
        self.content = hashlib.sha256()
        self.whole = hashlib.sha256()
        self._file = file
        self._deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._size = 0
        self._put(
            b"\x1f\x8b\x08" + bytes(6) + b"\xff"
        )  # RFC 1952: deflate, no flags, no time, unknown system

    def write(self, data: bytes) -> int:
        self.content.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._put(self._deflate.compress(data))
        return len(data)

    def finish(self) -> None:
        self._put(self._deflate.flush() + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF))

    def _put(self, data: bytes) -> None:
        self.whole.update(data)
        self._file.write(data)
