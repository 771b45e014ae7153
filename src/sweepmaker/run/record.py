"""``run.json``: what a run is and how it stands, from its first second on (contract 3)."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweepmaker.run import atomic, disk

log = logging.getLogger(__name__)

SCHEMA = 1
HEARTBEAT_S = 10.0
STATES = ("running", "completed", "stopped", "interrupted", "failed")


class RunRecord:
    """Writes ``run.json`` atomically, and every 10 s a heartbeat while the run lives.

    Args:
        path: the file.
        known: fields known from the start (overrides, seed, ...).
        resume: the run's folder, for the message of a full disk; None where it cannot be continued.

    Raises:
        UserError: the file cannot be written, by the constructor: nobody could tell this run from none.
    """

    def __init__(self, path: Path, known: Mapping[str, Any], resume: Path | None = None) -> None:
        self.began = time.perf_counter()
        self._path = path
        self._resume = resume
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._fields: dict[str, Any] = {
            "schema": SCHEMA,
            "state": "running",
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "heartbeat": now(),
            "objective": None,
            "overrides": [],
            "seed": None,
            "weights": None,
            "choices": {},
            "data": None,
            "git": None,
            "versions": {},
            "hardware": {},
            "timing": {"start": now(), "end": None, "fit_seconds": 0.0},
            "job": None,
            "failure": None,
            **known,
        }
        self._write(None)  # nothing to continue yet
        self._thread = threading.Thread(target=self._beat, name="run.json heartbeat", daemon=True)
        self._thread.start()

    @property
    def fields(self) -> dict[str, Any]:
        """What stands in the file."""
        return dict(self._fields)

    def update(self, **fields: Any) -> None:
        """Set fields and write the file; a full disk is reported, not fatal: it is tried again."""
        with self._lock:
            self._fields.update(fields)
            try:
                atomic.write_json(self._path, self._fields)
            except OSError as error:
                log.warning("could not write %s: %s", self._path, disk.reason(error))

    def timing(self, **fields: Any) -> None:
        """Set fields of ``timing`` (seconds, images per second, fractions)."""
        self.update(timing={**self._fields["timing"], **fields})

    def end(self, state: str, failure: dict[str, Any] | None = None, **fields: Any) -> None:
        """The run is over: one of `STATES` but ``running``; ``fields`` as for `update`.

        Raises:
            UserError: it could not be written, so that every reader would take the run for another one.
        """
        assert state in STATES[1:], state
        self._ended.set()
        self._thread.join()
        timing = {**self._fields["timing"], "end": now()}
        self._fields.update(
            fields | {"timing": timing, "state": state, "failure": failure, "heartbeat": now()}
        )
        self._write(self._resume)

    def _write(self, resume: Path | None) -> None:
        with self._lock, disk.naming(self._path, resume=resume):
            atomic.write_json(self._path, self._fields)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_S):
            self.update(heartbeat=now())


def now() -> str:
    """The time in UTC as ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def failure_of(error: BaseException) -> dict[str, Any]:
    """An error as ``run.json`` keeps it: its type, its message, the last frames first."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames)],
    }


def age_s(timestamp: str) -> float:
    """Seconds since a `now` timestamp."""
    return time.time() - datetime.fromisoformat(timestamp).timestamp()
