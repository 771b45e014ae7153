"""Reading a run folder that some other process wrote, or still writes."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil

from sweepmaker.run.record import HEARTBEAT_S, age_s

STALE_S = 6 * HEARTBEAT_S


def read(folder: Path | str) -> dict[str, Any] | None:
    """``run.json`` of ``folder`` with the state that really holds, or None where there is none.

    A run that says it is running but whose process is gone, or whose heartbeat is older than a
    minute, was killed: its state is given as ``interrupted``.

    Raises:
        ValueError: the file is not the JSON object that this program writes.
    """
    path = Path(folder) / "run.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or "state" not in record:
        raise ValueError(f"{path} is not a run.json of this program")
    if record["state"] == "running" and not _alive(record):
        record["state"] = "interrupted"
    return record


def _alive(record: dict[str, Any]) -> bool:
    if record.get("job") is not None:
        return True  # for a collected trial the service's word counts, not a pid of this machine
    pid = record.get("pid")
    if pid == os.getpid():
        return True
    here = record.get("host", socket.gethostname()) == socket.gethostname()
    gone = here and not (isinstance(pid, int) and psutil.pid_exists(pid))
    return not gone and age_s(record["heartbeat"]) < STALE_S
