"""``debugger/observations.jsonl.gz``: appended to while the run goes on, cut back when it is resumed.

One record is one line of JSON in a gzip member of its own: a file of members is a gzip file like any other
(``zcat`` reads it at any time), appending never touches what is there, and a kill in the middle of a write
leaves one broken member at the end, which readers leave out and resuming cuts off. Parquet would need
pyarrow, more than all that a trial installs beside torch, and is not readable before it is closed.
NaN, Infinity and -Infinity stand in it as Python's json writes them.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweepmaker.run import disk

NAME = "observations.jsonl.gz"
_LEVEL = 6
_LARGEST = 64 << 20  # bytes of one record: more is no record of ours
_CHUNK = 1 << 16


class Store:
    """Appends records.

    Args:
        path: the file; it and its folder are made when the first record comes.
        resume: the run's folder, for the message of a full disk; None where it cannot be continued.
    """

    def __init__(self, path: Path, resume: Path | None = None) -> None:
        self.path = path
        self._resume = resume

    @property
    def size(self) -> int:
        """Bytes so far: what a checkpoint remembers."""
        return self.path.stat().st_size if self.path.exists() else 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record, whole or not at all.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        member = gzip.compress(line, compresslevel=_LEVEL, mtime=0)
        before = self.size
        with disk.naming(self.path, resume=self._resume):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self.path.open("ab", buffering=0) as file:
                    if file.write(member) != len(member):
                        raise OSError(28, os.strerror(28))
            except OSError:
                self.truncate(before)
                raise

    def truncate(self, size: int) -> None:
        """Keep the first ``size`` bytes: those that the checkpoint knew of."""
        if self.path.exists() and self.path.stat().st_size > size:
            os.truncate(self.path, size)


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Every whole record of the file; nothing where there is none.

    Raises:
        ValueError: a record that is whole is not one of ours.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        rest = b""
        while rest or (rest := file.read(_CHUNK)):
            member = zlib.decompressobj(wbits=31)
            line = bytearray()
            while not member.eof:
                if not rest and not (rest := file.read(_CHUNK)):
                    return  # cut off by a kill: it was never whole
                try:
                    line += member.decompress(rest, _LARGEST - len(line) + 1)
                except zlib.error:
                    return
                if len(line) > _LARGEST:
                    raise ValueError(f"a record of {path} is larger than {_LARGEST >> 20} MB")
                rest = member.unused_data if member.eof else member.unconsumed_tail
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError(f"{path} holds other things than observations")
            yield entry
