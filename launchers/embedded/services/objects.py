"""moto's objects and uploads in parts, with files for contents."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from moto.s3.exceptions import EntityTooSmall, InvalidPart, MalformedXML
from moto.s3.models import FakeKey, FakeMultipart
from moto.settings import S3_UPLOAD_PART_MIN_SIZE

from launchers.embedded.services.bodies import Crc32
from launchers.embedded.services.index import Index

_CHUNK = 1 << 20  # bytes at a time


class Contents(bytes):
    """A file that goes through moto in place of an object's bytes; as bytes it is empty."""

    file: Path
    length: int
    md5: str
    """In hexadecimal, or whatever the ETag is."""

    def __new__(cls, file: Path, length: int, md5: str) -> Contents:
        made = super().__new__(cls)
        made.file, made.length, made.md5 = file, length, md5
        return made

    def kept_in(self, index: Index) -> str:
        """The file's name in ``index``; it is moved there unless it lies there already."""
        return index.name(self.file) or index.keep(self.file)


class FileKey(FakeKey):
    """An object whose contents are a file that never changes."""

    file: Path

    @classmethod
    def adopt(cls, key: FakeKey, file: Path, contents: Contents) -> FileKey:
        """``key``, which is empty so far, with ``file`` for its contents."""
        key._value_buffer.close()
        key.__class__ = cls
        made = cast(FileKey, key)
        made.file, made.contentsize = file, contents.length
        if made._etag is None:
            made._etag = contents.md5
        return made

    @property
    def value(self) -> Contents:
        """What moto copies and answers with; only `Contents.file` says what it is."""
        return Contents(self.file, self.contentsize, self.md5)

    @property
    def md5(self) -> str:
        """In hexadecimal; of an upload in parts, what stands for it."""
        return self._etag or ""

    def dispose(self, garbage: bool = False) -> None:
        """Files go when the index has let go of them."""

    def __deepcopy__(self, memo: dict[int, Any]) -> FileKey:
        """Moto copies objects to list their versions."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


class FileMultipart(FakeMultipart):
    """An upload in parts, each of them a file."""

    index: Index

    @classmethod
    def adopt(cls, upload: FakeMultipart, index: Index) -> FileMultipart:
        upload.__class__ = cls
        made = cast(FileMultipart, upload)
        made.index = index
        return made

    def add(self, number: int, contents: Contents) -> FileKey:
        """A part; one that came before under its number is replaced."""
        before = self.parts.get(number)
        key = FileKey.adopt(self.set_part(number, b""), contents.file, contents)
        if isinstance(before, FileKey):
            before.file.unlink(missing_ok=True)
        # Out of the request's hands: it removes its own body when it ends.
        key.file = contents.file.rename(self.index.incoming())
        return key

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[Contents, str, tuple[str, str, int] | None]:
        """The parts put together.

        Returns:
            As moto's: the contents, the ETag, and the checksum (type, value, number of parts) where it is
            one that the standard library computes.
        """
        parts = [self._part(number, etag) for number, etag in body]
        if not parts:
            raise MalformedXML
        if any(part.size < S3_UPLOAD_PART_MIN_SIZE for part in parts[:-1]):
            raise EntityTooSmall
        target, size, checksum = self.index.incoming(), 0, _Checksum(self.metadata)
        with target.open("xb") as file:
            for part in parts:
                for piece in _pieces(part.file):
                    file.write(piece)
                    checksum.update(piece)
                checksum.end_part()
                size += part.size
        md5s = binascii.unhexlify("".join(part.md5 for part in parts))
        etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(parts)}"
        return Contents(target, size, etag), etag, checksum.result(len(parts))

    def dispose(self) -> None:
        """Parts are of no use any more."""
        for part in self.parts.values():
            if isinstance(part, FileKey):
                part.file.unlink(missing_ok=True)

    def _part(self, number: int, etag: str) -> FileKey:
        part = self.parts.get(number)
        if not isinstance(part, FileKey) or part.md5 != etag.strip('"'):
            raise InvalidPart
        return part


class _Checksum:
    """The checksum of a whole upload, as its creation asked for it."""

    def __init__(self, metadata: Any) -> None:
        self._name = str(metadata.get("x-amz-checksum-algorithm") or "").upper()
        self._type = str(metadata.get("x-amz-checksum-type") or "COMPOSITE").upper()
        self._sum = self._new()
        self._of_parts = b""

    def _new(self) -> Crc32 | Any:
        return Crc32() if self._name == "CRC32" else hashlib.new(self._name) if self._known else None

    @property
    def _known(self) -> bool:
        return self._name in ("SHA1", "SHA256")

    def update(self, piece: bytes) -> None:
        if self._sum is not None:
            self._sum.update(piece)

    def end_part(self) -> None:
        if self._sum is not None and self._type == "COMPOSITE":
            self._of_parts += self._sum.digest()
            self._sum = self._new()

    def result(self, parts: int) -> tuple[str, str, int] | None:
        if self._sum is None:
            return None
        if self._type == "COMPOSITE":
            self._sum.update(self._of_parts)
        return (
            self._type,
            base64.b64encode(self._sum.digest()).decode(),
            parts if self._type == "COMPOSITE" else 1,
        )


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            yield piece


def copy_range(source: Path, target: Path, start: int, end: int) -> Contents:
    """Bytes ``start`` to ``end`` (not included) of ``source`` in a new file."""
    md5, left = hashlib.md5(usedforsecurity=False), max(end - start, 0)
    with source.open("rb") as file, target.open("xb") as part:
        file.seek(start)
        while left > 0 and (piece := file.read(min(_CHUNK, left))):
            part.write(piece)
            md5.update(piece)
            left -= len(piece)
    return Contents(target, max(end - start, 0) - left, md5.hexdigest())
