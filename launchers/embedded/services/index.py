"""What is in S3, in SQLite, and the files that hold it. A server killed at any moment finds all of it again.

A request is acknowledged after its transaction, and a file is there before the transaction that names it:
what a kill leaves half done is a file that nothing names, and `Index.sweep` removes those.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, settings TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (
    bucket TEXT NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL, file TEXT, size INTEGER NOT NULL,
    record TEXT NOT NULL, PRIMARY KEY (bucket, key, position)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS object_by_file ON object (file);
"""
_CHUNK = 1 << 20  # bytes at a time


@dataclass(frozen=True)
class Version:
    """One version of an object; the last one of a key is the current one."""

    file: str | None
    """Name of its file; None: a delete marker."""
    size: int
    record: dict[str, Any]
    """Everything else, of JSON's types."""


class Index:
    """Buckets, objects and files under ``folder``. For several threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("objects", "incoming"):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.RLock()
        self._pins = 0
        self._late: set[str] = set()  # files to be removed when nobody has pinned them any more
        self._db = sqlite3.connect(folder / "index.sqlite", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")  # whole after a kill; not after a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def incoming(self) -> Path:
        """A name for a file that is still being written; on the file system of the objects."""
        return self.folder / "incoming" / uuid.uuid4().hex

    def keep(self, path: Path) -> str:
        """Make a finished file from `incoming` an object's contents.

        Returns:
            Its name, for `Version.file`. It never changes again and is write-protected: trials may have
            links to it.
        """
        name = f"{path.name[:2]}/{path.name}"
        target = self.path(name)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        path.chmod(0o444)
        path.rename(target)
        return name

    def path(self, name: str) -> Path:
        return self.folder / "objects" / name

    def name(self, path: Path) -> str | None:
        """What `keep` called the file at ``path``; None for one that was not kept."""
        return f"{path.parent.name}/{path.name}" if path.parent.parent == self.folder / "objects" else None

    def buckets(self) -> dict[str, dict[str, Any]]:
        with self._lock:
            return {name: json.loads(text) for name, text in self._db.execute("SELECT * FROM bucket")}

    def objects(self) -> Iterator[tuple[str, str, Version]]:
        """(bucket, key, version), the versions of a key from the oldest to the latest."""
        with self._lock:
            rows = self._db.execute(
                "SELECT bucket, key, file, size, record FROM object ORDER BY bucket, key, position"
            ).fetchall()
        for bucket, key, file, size, record in rows:
            yield bucket, key, Version(file, size, json.loads(record))

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int, Path]]:
        """(key, bytes, file) of the current versions, sorted by key."""
        found: list[tuple[str, int, Path]] = []
        with self._lock:
            rows = self._db.execute(
                "SELECT key, size, file, MAX(position) FROM object WHERE bucket = ? AND key >= ? "
                "GROUP BY key ORDER BY key",
                (bucket, prefix),
            )
            for key, size, file, _ in rows:
                if not key.startswith(prefix):
                    break  # sorted: nothing that follows has it
                if file is not None:
                    found.append((key, size, self.path(file)))
        return found

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Files that are listed inside stay until its end, also when their objects don't."""
        with self._lock:
            self._pins += 1
        try:
            yield
        finally:
            with self._lock:
                self._pins -= 1
                gone = [] if self._pins else [name for name in self._late if not self._used(name)]
                if not self._pins:
                    self._late.clear()
            self._unlink(gone)

    def save(
        self,
        objects: Mapping[tuple[str, str], Iterable[Version]],
        buckets: Mapping[str, dict[str, Any] | None],
    ) -> None:
        """In one transaction: all versions of the keys in ``objects``, and ``buckets`` (None: deleted)."""
        with self._lock:
            dropped: set[str] = set()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for (bucket, key), versions in objects.items():
                    dropped |= self._replace(bucket, key, versions)
                for name, settings in buckets.items():
                    self._db.execute("DELETE FROM bucket WHERE name = ?", (name,))
                    if settings is not None:
                        self._db.execute("INSERT INTO bucket VALUES (?, ?)", (name, json.dumps(settings)))
                unused = [name for name in dropped if not self._used(name)]
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            if self._pins:
                self._late.update(unused)
                unused = []
        self._unlink(unused)

    def _unlink(self, names: Iterable[str]) -> None:
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def _replace(self, bucket: str, key: str, versions: Iterable[Version]) -> set[str]:
        where = "FROM object WHERE bucket = ? AND key = ?"
        before = self._db.execute(f"SELECT file {where} AND file IS NOT NULL", (bucket, key)).fetchall()
        self._db.execute(f"DELETE {where}", (bucket, key))
        self._db.executemany(
            "INSERT INTO object VALUES (?, ?, ?, ?, ?, ?)",
            [(bucket, key, n, v.file, v.size, json.dumps(v.record)) for n, v in enumerate(versions)],
        )
        return {str(file) for (file,) in before}

    def _used(self, name: str) -> bool:
        return self._db.execute("SELECT 1 FROM object WHERE file = ? LIMIT 1", (name,)).fetchone() is not None

    def sweep(self) -> None:
        """Remove files that nothing names. Only while no request is being answered."""
        with self._lock:
            used = {
                name for (name,) in self._db.execute("SELECT DISTINCT file FROM object WHERE file NOT NULL")
            }
        for path in (self.folder / "incoming").iterdir():
            path.unlink()
        for path in (self.folder / "objects").glob("*/*"):
            if f"{path.parent.name}/{path.name}" not in used:
                path.unlink()


def copy(source: Path, target: Path) -> tuple[int, str]:
    """A copy in a new file.

    Returns:
        Its size in bytes and its MD5 in hexadecimal: of what was copied, whatever happens to ``source``.
    """
    shutil.copyfile(source, target)
    return measure(target)


def measure(path: Path) -> tuple[int, str]:
    """Size in bytes and MD5 in hexadecimal."""
    md5, size = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            md5.update(chunk)
            size += len(chunk)
    return size, md5.hexdigest()
