"""The folder of one embedded SageMaker: where things lie in it, and who may work in it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from sweepmaker.config.errors import UserError
from sweepmaker.run.atomic import write_json

REGION = "us-east-1"
ACCOUNT = "123456789012"  # moto's own
BUCKET = "sweepmaker"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sweepmaker"


@dataclass(frozen=True)
class Root:
    """Paths under ``folder``, which is made when missing (mode 0700: what is in it runs as code)."""

    folder: Path

    @classmethod
    def open(cls, folder: Path) -> Root:
        """
        Raises:
            UserError: it cannot be made.
        """
        folder = folder.expanduser().absolute()
        cls._refuse_others(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            (folder / "jobs").mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder} cannot be used as a root: {error.strerror}") from error
        return cls(folder)

    @staticmethod
    def _refuse_others(folder: Path) -> None:
        """A folder with other things in it: a key among somebody's files would be committed one day."""
        # with what a launch leaves there before it starts a server
        mine = {"lock", "key.json", "state.sqlite", "jobs", "embedded.yaml", "faults.json", "server.log"}
        try:
            names = {path.name for path in folder.iterdir()} if folder.exists() else set()
        except OSError:  # said where it is used
            return
        if names and not names & mine:
            raise UserError(
                f"{folder} is not empty and no root of an embedded SageMaker",
                fix="--root DIR: a folder that is new, empty or one of its own, such as .embedded",
            )

    @property
    def state(self) -> Path:
        return self.folder / "state.sqlite"

    @property
    def s3(self) -> Path:
        return self.folder / "s3"

    @property
    def server(self) -> Path:
        """Who serves this root, while somebody does."""
        return self.folder / "server.json"

    @property
    def key(self) -> Path:
        return self.folder / "key.json"

    @property
    def settings(self) -> Path:
        return self.folder / "embedded.yaml"

    @property
    def faults(self) -> Path:
        return self.folder / "faults.json"

    def job(self, name: str) -> Path:
        """The folder of one training job; ``name`` has passed the service's pattern."""
        return self.folder / "jobs" / name

    def endpoint(self, name: str) -> Path:
        """The folder of one endpoint, likewise."""
        return self.folder / "endpoints" / name

    @contextmanager
    def held(self) -> Iterator[None]:
        """This process is the one server of the root; the kernel lets go when it dies.

        Raises:
            UserError: another server works there; it is named.
        """
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.folder} is served already{self._by_whom()}",
                    fix=f"use that one, or end it: python -m launchers.embedded stop --root {self.folder}",
                ) from None
            os.set_inheritable(lock.fileno(), False)
            self.server.unlink(missing_ok=True)  # of one that was killed: its number may be somebody's now
            yield

    def announce(self, endpoint: str) -> None:
        """Leave word of this process in `server`."""
        write_json(self.server, {"pid": os.getpid(), "started": time.time(), "endpoint_url": endpoint})

    def serving(self) -> dict[str, Any] | None:
        """What `announce` left, while that process lives."""
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pass
            else:
                return None
        # read after that: what one left that was killed is removed by who has the lock
        try:
            found: dict[str, Any] = json.loads(self.server.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if psutil.pid_exists(int(found.get("pid", 0))) else None

    def _by_whom(self) -> str:
        try:
            found = json.loads(self.server.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return f" by process {found.get('pid')} at {found.get('endpoint_url')}"
