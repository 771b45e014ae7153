"""Reading a run folder that some other process wrote, or still writes."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import NoneType
from typing import Any

import psutil

from sweepmaker.config.errors import ConfigError
from sweepmaker.run import untrusted
from sweepmaker.run.disk import reason
from sweepmaker.run.record import HEARTBEAT_S, age_s

STALE_S = 6 * HEARTBEAT_S

# what readers rely on; a field that an older version did not write may be absent
_KINDS: dict[str, type | tuple[type, ...]] = {
    "state": str,
    "heartbeat": str,
    "overrides": list,
    "objective": (dict, NoneType),
    "choices": (dict, NoneType),
    "timing": dict,
    "git": (dict, NoneType),
    "failure": (dict, NoneType),
}


def read(folder: Path | str) -> dict[str, Any] | None:
    """``run.json`` of ``folder`` with the state that really holds, or None where there is none.

    A run that says it is running but whose process is gone, or whose heartbeat is older than a
    minute, was killed: its state is given as ``interrupted``.

    Raises:
        ValueError: the file is not the JSON object that this program writes.
        OSError: it cannot be read, or is a link or anything but a file.
    """
    try:
        text = untrusted.read_inside(Path(folder), "run.json").decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    record = json.loads(text)
    if not isinstance(record, dict) or "state" not in record:
        raise ValueError("it is not a run.json of this program")
    for name, kind in _KINDS.items():
        if name in record and not isinstance(record[name], kind):
            raise ValueError(f"{name} is {record[name]!r}")
    if record["state"] == "running" and not _alive(record):
        record["state"] = "interrupted"
    return record


def read_to_continue(folder: Path | str) -> dict[str, Any] | None:
    """As `read`, for the process that is about to write to ``folder`` itself.

    Raises:
        ConfigError: the file is broken; nothing can be told of what is in the folder.
    """
    try:
        return read(folder)
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{Path(folder) / 'run.json'} cannot be read: {reason(error)}",
            key="hydra.run.dir",
            fix="remove that file (a run that has checkpoints goes on from them), or choose another folder",
        ) from error


def _alive(record: dict[str, Any]) -> bool:
    if record.get("job") is not None:
        return True  # for a collected trial the service's word counts, not a pid of this machine
    pid = record.get("pid")
    if pid == os.getpid():
        return True
    here = record.get("host", socket.gethostname()) == socket.gethostname()
    # a number that no process can have is answered with an OverflowError
    gone = here and not (isinstance(pid, int) and 0 < pid < 2**31 and psutil.pid_exists(pid))
    try:
        return not gone and age_s(str(record.get("heartbeat"))) < STALE_S
    except (ValueError, OverflowError):
        raise ValueError(f"heartbeat is {record.get('heartbeat')!r}") from None
