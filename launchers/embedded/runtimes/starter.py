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

from launchers.embedded.runtimes import namespace
from launchers.embedded.runtimes.handle import GuardHandle
from launchers.embedded.runtimes.order import ROOT_MARK, Order, scratch_prefix
from launchers.embedded.runtimes.spec import TrialSpec

CHECKOUT = Path(__file__).resolve().parents[3]

_GUARD_S = 60.0
_KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR")
_ONE = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Starter:
    """A runtime that starts a fresh guard for each trial.

    Args:
        root: of the server.
        interpreter: of the Python that runs the script.
    """

    name = "process"
    sigterm_reaches_script = True

    def __init__(self, root: Path, interpreter: Path) -> None:
        self._root = root
        self._interpreter = interpreter
        self._handles: list[GuardHandle] = []
        self._lock = threading.Lock()
        self._closed = False
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

    def _start(self, order: Order, log: int) -> GuardHandle:
        mine, theirs = socket.socketpair()
        with theirs:
            module = "launchers.embedded.runtimes.guard"
            guard = spawn(module, [theirs.fileno(), log], self._root, subprocess.DEVNULL)
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


def spawn(module: str, descriptors: list[int], root: Path, stderr: int) -> subprocess.Popen[bytes]:
    """Start a module of this package afresh, with the numbers of open files as its arguments.

    Not tied to the life of this process: what it serves closes a socket instead.
    """
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found |= dict.fromkeys(_ONE, "1")  # read when the libraries are loaded
    found |= {
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
        ROOT_MARK: str(root),
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *(str(number) for number in descriptors)],
        cwd="/",
        env=found,
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
        start_new_session=True,
    )
