"""An archive of somebody else's, unpacked member by member: what it says is not believed.

Only plain files and folders come out of it, only below the folder that is given, no more of them and
no larger than allowed. (``tarfile``'s own filter bounds neither, and reads headers of any size into memory.)
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from sweepmaker.config.errors import UserError

MOST_FILES = 100_000
"""Members of one archive."""
MOST_BYTES = 200 << 30
"""Of one archive, unpacked; less where the disk has less."""
_RESERVE = 256 << 20  # bytes of the disk that stay free
_HEADERS = 4 << 20  # bytes of the headers of one member
_ALL_HEADERS = 256 << 20
_PADDING = 16 << 20  # bytes behind the last member; tar writes up to 10 kB
_PIECE = 1 << 18
_NAME = 255  # bytes of one part of a name
_PATH = 1024
_DAMAGE = (
    tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, ArithmeticError, LookupError,
    RecursionError,
)  # fmt: skip


class UnpackError(UserError):
    """The archive is damaged, or not one that an honest job leaves."""


@dataclass(frozen=True)
class Limits:
    """What may come out of one archive."""

    files: int = MOST_FILES
    size: int = MOST_BYTES


@dataclass
class Unpacked:
    """What came out."""

    files: int = 0
    size: int = 0
    left_out: int = 0
    """Links; where they lead is another machine."""


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> Unpacked:
    """Unpack a ``.tar.gz`` below ``folder``, which is made; a file that is there already is an error.

    Raises:
        UnpackError: it is damaged, reaches out of the folder, or holds more than it may.
        OSError: the disk does not take it.
    """
    limits = limits or Limits()
    folder.mkdir(parents=True, exist_ok=True)
    allowed = min(limits.size, max(shutil.disk_usage(folder).free - _RESERVE, 0))
    done = Unpacked()
    try:
        with gzip.open(archive) as stream:
            _members(_Careful(cast(BinaryIO, stream)), folder, limits.files, allowed, done)
    except _DAMAGE as error:
        raise UnpackError(f"it is damaged: {error}") from None
    return done


def _members(stream: _Careful, folder: Path, most: int, allowed: int, done: Unpacked) -> None:
    with tarfile.TarFile(fileobj=cast(BinaryIO, stream), errorlevel=1) as tar:
        seen = 0
        while (member := stream.header(tar)) is not None:
            seen += 1
            if seen > most:
                raise UnpackError(f"more than {most} members")
            if member.issym() or member.islnk():
                done.left_out += 1
                continue
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise UnpackError(f"{_shown(member.name)} is neither a plain file nor a folder")
            done.size += member.size
            if member.size < 0 or done.size > allowed:
                raise UnpackError(f"more than {allowed} bytes, which is what may be written here")
            _write(tar, member, folder, done)
    stream.ended()


def inside(name: str) -> PurePosixPath:
    """The path that ``name`` stands for, below whatever folder it is put in.

    Raises:
        UnpackError: it leads elsewhere, or is no name of a file.
    """
    path = PurePosixPath(name)
    parts = path.parts
    wrong = path.is_absolute() or ".." in parts or "\0" in name
    try:
        wrong = wrong or any(len(os.fsencode(part)) > _NAME for part in parts) or len(name) > _PATH
    except UnicodeEncodeError:
        wrong = True
    if wrong:
        raise UnpackError(f"{_shown(name)} is not the name of a file below a folder")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, done: Unpacked) -> None:
    name = inside(member.name)
    target = folder / name
    try:
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            return
        if name == PurePosixPath("."):
            raise UnpackError("a file without a name")
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        assert source is not None
        with target.open("xb") as file:  # never through a link, never over another file
            left = member.size
            while left:
                piece = source.read(min(left, _PIECE))
                if not piece:
                    raise UnpackError(f"{_shown(member.name)} ends early")
                file.write(piece)
                left -= len(piece)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise UnpackError(f"{_shown(member.name)} is in it twice") from None
    when = min(max(int(member.mtime), 0), 2**33)
    os.utime(target, (when, when))  # the same each time that it is unpacked
    done.files += 1


def _shown(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}..."


class _Careful:
    """An unpacked stream whose headers are bounded: ``tarfile`` takes them into memory, whatever they say."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._left: int | None = _HEADERS  # of the header that is being read; None: it is a file's content
        self._all = _ALL_HEADERS
        self._last = b""

    def header(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        """The next member."""
        self._left = _HEADERS
        member = tar.next()
        tar.members = []  # type: ignore[attr-defined]  # or it would keep every one
        self._left = None
        return member

    def ended(self) -> None:
        """Read what is left, so that the checksum is compared.

        Raises:
            tarfile.ReadError: it goes on with something else than an archive's end.
        """
        if any(self._last) or any(self._stream.read(_PADDING)) or self._stream.read(1):
            raise tarfile.ReadError("it does not end as an archive does")

    def read(self, size: int = -1) -> bytes:
        if self._left is not None:
            self._left -= max(size, 0)
            self._all -= max(size, 0)
            if size < 0 or self._left < 0 or self._all < 0:
                raise tarfile.ReadError("its headers are too large")
        found = self._stream.read(size)
        self._last = found if self._left is not None else b""
        return found

    def seek(self, position: int) -> int:
        return self._stream.seek(position)

    def tell(self) -> int:
        return self._stream.tell()
