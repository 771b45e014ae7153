"""What the server knows of its jobs, in SQLite: it outlives the server, whenever that is killed.

A job is kept as its Describe answer (``document``) and what no client sees (``private``). Each change
is one transaction, written before anything is told to anybody.
"""

from __future__ import annotations

import copy
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS job (
    kind TEXT NOT NULL, name TEXT NOT NULL COLLATE NOCASE, arn TEXT NOT NULL, parent TEXT COLLATE NOCASE,
    status TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, objective REAL,
    document TEXT NOT NULL, private TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS job_of_parent ON job (parent, created);
CREATE INDEX IF NOT EXISTS job_by_time ON job (kind, created);
CREATE INDEX IF NOT EXISTS job_by_arn ON job (arn);
CREATE TABLE IF NOT EXISTS tag (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key));
CREATE TABLE IF NOT EXISTS search_call (
    job TEXT NOT NULL COLLATE NOCASE, position INTEGER NOT NULL, call TEXT NOT NULL,
    PRIMARY KEY (job, position));
"""
TRAINING = "training"
TUNING = "tuning"
MODEL = "model"
CONFIG = "endpoint-config"
ENDPOINT = "endpoint"
GROUP = "model-package-group"
PACKAGE = "model-package"


@dataclass
class Job:
    """One training or tuning job, or one of the things that serve a model, which are kept alike."""

    kind: str
    name: str
    arn: str
    parent: str | None
    """Name of the tuning job that a trial belongs to."""
    document: dict[str, Any]
    """What Describe answers; times in seconds since 1970."""
    private: dict[str, Any]

    @property
    def status(self) -> str:
        return str(self.document[_STATUS[self.kind]]) if self.kind in _STATUS else ""

    @property
    def ended(self) -> bool:
        return self.status in ("Completed", "Failed", "Stopped")


_STATUS = {
    TRAINING: "TrainingJobStatus",
    TUNING: "HyperParameterTuningJobStatus",
    ENDPOINT: "EndpointStatus",
    GROUP: "ModelPackageGroupStatus",
    PACKAGE: "ModelPackageStatus",
}
_COLUMNS = "kind, name, arn, parent, document, private"


class State:
    """The database. For several threads; every method is one transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(
            "PRAGMA synchronous=NORMAL"
        )  # whole after a kill; the last second may go with the power
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is done inside is kept as a whole or not at all."""
        with self._lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def add(self, job: Job, tags: Mapping[str, str]) -> bool:
        """Keep a new job; False where its name is taken."""
        with self.transaction():
            if self.get(job.kind, job.name) is not None:
                return False
            self._put(job)
            self.tag(job.arn, tags)
        return True

    def get(self, kind: str, name: str) -> Job | None:
        with self._lock:
            row = self._db.execute(
                f"SELECT {_COLUMNS} FROM job WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
        return _job(row) if row else None

    @contextmanager
    def change(self, kind: str, name: str) -> Iterator[Job]:
        """The job, to be changed inside; LastModifiedTime is set if it was."""
        with self.transaction():
            job = self.get(kind, name)
            if job is None:
                raise KeyError(f"{kind} {name}")
            before = copy.deepcopy((job.document, job.private))
            yield job
            if (job.document, job.private) != before:
                job.document["LastModifiedTime"] = time.time()
                self._put(job)

    def delete(self, job: Job) -> None:
        with self.transaction():
            self._db.execute("DELETE FROM job WHERE kind = ? AND name = ?", (job.kind, job.name))
            self._db.execute("DELETE FROM tag WHERE arn = ?", (job.arn,))
            if job.kind == TUNING:
                self._db.execute("DELETE FROM search_call WHERE job = ?", (job.name,))
                # the next tuning job of this name is another one
                self._db.execute("UPDATE job SET parent = NULL WHERE parent = ?", (job.name,))

    def jobs(self, kind: str, *, parent: str | None = None, statuses: tuple[str, ...] = ()) -> list[Job]:
        """All of a kind, oldest first."""
        text = f"SELECT {_COLUMNS} FROM job WHERE kind = ?"
        values: list[Any] = [kind]
        if parent is not None:
            text += " AND parent = ?"
            values.append(parent)
        if statuses:
            text += f" AND status IN ({', '.join('?' * len(statuses))})"
            values += statuses
        with self._lock:
            rows = self._db.execute(f"{text} ORDER BY created, rowid", values).fetchall()
        return [_job(row) for row in rows]

    def page(
        self, kind: str, where: str, values: list[Any], order: str, *, limit: int, offset: int
    ) -> list[Job]:
        """A page of a listing; ``where`` and ``order`` are SQL written by us, never by a client."""
        with self._lock:
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM job WHERE kind = ? AND {where} ORDER BY {order} LIMIT ? OFFSET ?",
                [kind, *values, limit, offset],
            ).fetchall()
        return [_job(row) for row in rows]

    def counts(self, parent: str) -> dict[str, int]:
        """How many trials of a tuning job are in which status."""
        with self._lock:
            return dict(
                self._db.execute(
                    "SELECT status, count(*) FROM job WHERE parent = ? GROUP BY status", (parent,)
                ).fetchall()
            )

    # --- tags

    def tags(self, arn: str) -> dict[str, str]:
        with self._lock:
            return dict(self._db.execute("SELECT key, value FROM tag WHERE arn = ? ORDER BY key", (arn,)))

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        with self.transaction():
            rows = [(arn, key, value) for key, value in tags.items()]
            self._db.executemany("INSERT OR REPLACE INTO tag VALUES (?, ?, ?)", rows)

    def by_arn(self, arn: str) -> Job | None:
        with self._lock:
            row = self._db.execute(f"SELECT {_COLUMNS} FROM job WHERE arn = ?", (arn,)).fetchone()
        return _job(row) if row else None

    # --- what a search was asked and told, in order: played again after a restart

    def calls(self, job: str) -> list[list[Any]]:
        with self._lock:
            rows = self._db.execute("SELECT call FROM search_call WHERE job = ? ORDER BY position", (job,))
            return [json.loads(row[0]) for row in rows]

    def add_call(self, job: str, call: list[Any]) -> None:
        with self.transaction():
            self._db.execute(
                "INSERT INTO search_call SELECT ?, coalesce(max(position), -1) + 1, ? "
                "FROM search_call WHERE job = ?",
                (job, json.dumps(call), job),
            )

    def _put(self, job: Job) -> None:
        document = job.document
        self._db.execute(
            "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET "
            "status = excluded.status, modified = excluded.modified, objective = excluded.objective, "
            "document = excluded.document, private = excluded.private",
            (
                job.kind, job.name, job.arn, job.parent, job.status, document["CreationTime"],
                document["LastModifiedTime"], job.private.get("objective"), json.dumps(document),
                json.dumps(job.private),
            ),
        )  # fmt: skip


def _job(row: tuple[Any, ...]) -> Job:
    kind, name, arn, parent, document, private = row
    return Job(kind, name, arn, parent, json.loads(document), json.loads(private))
