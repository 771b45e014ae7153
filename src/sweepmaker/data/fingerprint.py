"""The content fingerprint: equal for equal files under equal names, on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def content_hash(data: bytes | bytearray) -> str:
    """SHA-256 of a file's content, in hex (what ``sha256sum`` prints)."""
    return hashlib.sha256(data).hexdigest()


def fingerprint(files: Iterable[tuple[str, str]]) -> str:
    """SHA-256 in hex over ``(relative path, content hash)`` pairs, whatever their order."""
    digest = hashlib.sha256()
    for path, content in sorted(files):
        digest.update(f"{content}  {path}\0".encode())
    return digest.hexdigest()
