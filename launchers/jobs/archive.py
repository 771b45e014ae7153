"""A .tar.gz whose bytes follow from names, contents and executable bits alone."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Member:
    """A regular file of the archive; mode 755 where ``executable``, else 644."""

    data: bytes
    executable: bool = False


def tar(members: Mapping[str, Member]) -> bytes:
    """An uncompressed POSIX (pax) tar: sorted names, no time, owner or folder entries.

    Raises:
        ValueError: a name is absolute, has an empty, ``.`` or ``..`` part, or is both a file and a
            folder.
    """
    for name in members:
        _check(name, members)
    content = io.BytesIO()
    # pax states the encoding of a name; older formats leave it to the locale of whoever unpacks
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        for name in sorted(members):
            member = members[name]
            entry = tarfile.TarInfo(name)  # time 0, owner 0, no names
            entry.size = len(member.data)
            entry.mode = 0o755 if member.executable else 0o644
            archive.addfile(entry, io.BytesIO(member.data))
    return content.getvalue()


def gzip(content: bytes) -> bytes:
    """``content`` compressed, with no time and no name in the header.

    The header is written here because Python's own differs from version to version in the byte for
    the operating system. Between builds of zlib the compressed bytes may still differ; what names a
    bundle is therefore the digest of its tar.
    """
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    header = b"\x1f\x8b\x08" + bytes(6) + b"\xff"  # RFC 1952: deflate, no flags, no time, unknown system
    body = compressor.compress(content) + compressor.flush()
    return header + body + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def _check(name: str, members: Mapping[str, Member]) -> None:
    if not name or "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"not a name for an archive: {name!r}")
    for folder in PurePosixPath(name).parents:
        if str(folder) in members:
            raise ValueError(f"{folder} is a file and the folder of {name!r}")
