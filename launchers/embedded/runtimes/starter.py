"""What all runtimes share: an order made of a trial, a guard for it, and an end to all of them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from launchers.embedded.runtimes import linux, namespace
from launchers.embedded.runtimes.forker import Forker
from launchers.embedded.runtimes.handle import GuardHandle
from launchers.embedded.runtimes.order import Order, scratch_prefix
from launchers.embedded.runtimes.spawn import spawn
from launchers.embedded.runtimes.spec import TrialSpec

_GUARD_S = 60.0


class Starter:
    """A runtime that starts a fresh interpreter for each trial.

    On Linux the guards are forked from one process that has imported nothing: what a guard that was killed
    leaves behind comes to that one, whatever it did to its session and its environment, and is killed.

    Args:
        root: of the server.
        interpreter: of the Python that runs the script.
    """

    name = "process"
    warm = False
    """Whether trials are forked from a process that has imported what they would import."""

    def __init__(self, root: Path, interpreter: Path) -> None:
        self._root = root
        self._interpreter = interpreter
        self._handles: list[GuardHandle] = []
        self._lock = threading.Lock()
        self._closed = False
        self._forker = Forker(root, warm=self.warm) if linux.HERE else None
        reason = namespace.available()
        self.private = reason is None
        """Whether trials get a ``/opt/ml`` of their own."""
        if reason is not None:
            print(
                f"trials find their folder in SAGEMAKER_BASE_DIR, not at /opt/ml: {reason}", file=sys.stderr
            )

    def start(self, spec: TrialSpec, log: Path) -> GuardHandle:
        """
        Raises:
            RuntimeError: no process could be started.
        """
        order = self._order(spec)
        descriptor = os.open(log, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            handle = self._start(order, descriptor)
        except BaseException:
            shutil.rmtree(order.scratch, ignore_errors=True)
            raise
        finally:
            os.close(descriptor)
        with self._lock:
            self._handles = [*(one for one in self._handles if not one.ended), handle]
            closed = self._closed
        if closed:
            handle.kill()
        return handle

    def close(self) -> None:
        """Kill what runs."""
        with self._lock:
            self._closed = True
            handles, self._handles = self._handles, []
        for one in handles:
            one.kill()
        if self._forker is not None:
            self._forker.close()

    @property
    def zygote(self) -> int | None:
        """The process id of what trials are forked from, while there is one."""
        return None if self._forker is None else self._forker.zygote

    def _start(self, order: Order, log: int) -> GuardHandle:
        if self._forker is not None:
            return self._forker.start(order, log)
        mine, theirs = socket.socketpair()
        with theirs:
            module, files = "launchers.embedded.runtimes.guard", [theirs.fileno(), log]
            guard = spawn(module, files, files, self._root, subprocess.DEVNULL)
        handle = GuardHandle(mine, order, guard)
        with contextlib.suppress(OSError):  # it has ended already: seen below
            order.send(mine)
        if not handle.until("trial", _GUARD_S):
            guard.kill()
            handle.kill()
            raise RuntimeError("the process that starts a trial ended at once")
        return handle

    def _order(self, spec: TrialSpec) -> Order:
        return Order(
            ml=str(spec.ml.absolute()),
            base=str(namespace.OPT_ML) if self.private else str(spec.ml.absolute()),
            # not below the root: sockets that programs make there have names of 107 bytes at most
            scratch=tempfile.mkdtemp(prefix=scratch_prefix(self._root)),
            root=str(self._root),
            token=secrets.token_hex(8),
            way=self.name,
            hyperparameters=dict(spec.hyperparameters),
            environment=dict(spec.environment),
            entrypoint=spec.entrypoint,
            code=None if spec.code is None else str(spec.code.absolute()),
            interpreter=str(self._interpreter),
            cores=spec.cores,
            threads=spec.threads,
            gpus=spec.gpus,
        )
