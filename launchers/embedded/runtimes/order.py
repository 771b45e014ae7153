"""What a guard is told about the trial that it is to start, as it goes through a socket."""

from __future__ import annotations

import hashlib
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT_MARK = "SWEEPMAKER_EMBEDDED_ROOT"
"""Set in every process that an embedded server starts: the server's root folder."""
TRIAL_MARK = "SWEEPMAKER_EMBEDDED_TRIAL"
"""Set in what belongs to one attempt at a trial: a word of its own."""
CACHE = "SWEEPMAKER_CACHE"
"""Where our trials keep what they decode or compute of their data; ``sweepmaker.data.storage`` reads it."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True)
class Order:
    """One attempt at a trial.

    Args:
        ml: the folder that is to be ``/opt/ml``.
        base: what the trial calls it: ``/opt/ml`` in a namespace of its own, else ``ml`` itself.
        scratch: an empty folder for the trial's HOME and temporary files, removed after it.
        root: of the server.
        token: unlike any other attempt's.
        way: ``fork``, ``process`` or ``toolkit``.
        hyperparameters: as sent.
        environment: of the request, and what the service adds.
        entrypoint: the command to run instead of what the image would.
        code: the archive of ``sagemaker_submit_directory``, where that lies in S3.
        interpreter: that runs the script; ``toolkit``: the one with sagemaker-training.
        cores: to run on; empty for all.
        threads: for OpenMP and its like.
        gpus: names of those that it sees, as CUDA_VISIBLE_DEVICES has them.
    """

    ml: str
    base: str
    scratch: str
    root: str
    token: str
    way: str
    hyperparameters: Mapping[str, str]
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...] | None
    code: str | None
    interpreter: str
    cores: tuple[int, ...]
    threads: int
    gpus: tuple[str, ...]

    @property
    def private(self) -> bool:
        """Whether the trial gets a ``/opt/ml`` of its own."""
        return self.base != self.ml

    @property
    def failure(self) -> Path:
        return Path(self.ml, "output", "failure")

    def send(self, to: socket.socket) -> None:
        """Write it to a guard."""
        content = json.dumps(asdict(self)).encode()
        to.sendall(_LENGTH.pack(len(content)) + content)

    @classmethod
    def receive(cls, source: socket.socket) -> Order:
        """Read one.

        Raises:
            EOFError: the other end is gone.
        """
        (length,) = _LENGTH.unpack(_exactly(source, _LENGTH.size))
        fields: dict[str, Any] = json.loads(_exactly(source, length))
        for name in ("entrypoint", "cores", "gpus"):
            fields[name] = None if fields[name] is None else tuple(fields[name])
        return cls(**fields)


def scratch_prefix(root: Path) -> str:
    """How the names of all scratch folders of a root begin, so that lost ones can be found."""
    return f"sweepmaker-{hashlib.sha256(bytes(root)).hexdigest()[:10]}-"


def _exactly(source: socket.socket, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = source.recv(count)
        if not part:
            raise EOFError("the server is gone")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
