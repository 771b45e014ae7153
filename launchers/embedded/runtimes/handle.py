"""The server's end of a guard."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from launchers.embedded.runtimes import namespace, strays
from launchers.embedded.runtimes.order import Order
from launchers.embedded.runtimes.spec import LostError

_SLICE_S = 0.05  # the longest that a waiting thread keeps others from looking
_KILL_S = 15.0  # a guard that doesn't answer for so long is killed itself


class GuardHandle:
    """See `launchers.embedded.runtimes.spec.Handle`; any thread may call.

    Args:
        control: the socket to the guard.
        order: what it was told.
        guard: its process, where this one is the parent.
    """

    def __init__(
        self, control: socket.socket, order: Order, guard: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._control = control
        self._order = order
        self._process = guard
        self._lock = threading.RLock()
        self._buffer = b""
        self._told: dict[str, int] = {}
        self._ended = False

    @property
    def guard(self) -> int | None:
        """Its process id, once it has told."""
        return self._told.get("guard")

    @property
    def pid(self) -> int | None:
        """The trial's process id, once the guard has told."""
        return self._told.get("trial")

    @property
    def ended(self) -> bool:
        """Whether nothing more will be heard."""
        return self._ended

    def until(self, word: str, timeout: float) -> bool:
        """Wait until the guard has told ``word``; whether it has."""
        deadline = time.monotonic() + timeout
        while word not in self._told and not self._ended:
            left = deadline - time.monotonic()
            if left < 0:
                break
            self._listen(min(left, _SLICE_S))
        return word in self._told

    def wait(self, timeout: float) -> int | None:
        """
        Raises:
            LostError: the guard was killed.
        """
        if self.until("exit", timeout):
            return self._told["exit"]
        if self._ended:
            raise LostError("the process that watched over the trial was killed")
        self._listen(0)
        return self._told.get("exit")

    def terminate(self) -> None:
        self._send(b"T")

    def kill(self) -> None:
        """
        Raises:
            TimeoutError: a process of it doesn't go.
        """
        self._send(b"K")
        if not self.until("exit", _KILL_S) and not self._ended:
            if self.guard is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.guard, signal.SIGKILL)
            self.until("exit", 1.0)
        if "exit" not in self._told:
            self._close()
            strays.kill_trial(self._order.token, self.pid or 0)
            shutil.rmtree(self._order.scratch, ignore_errors=True)
            namespace.clean(Path(self._order.ml))

    def _send(self, word: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):  # it has ended, or was killed
            if not self._ended:
                self._control.sendall(word)

    def _listen(self, timeout: float) -> None:
        with self._lock:
            if self._ended or not select.select([self._control], [], [], timeout)[0]:
                return
            try:
                got = self._control.recv(4096)
            except ConnectionError:
                got = b""
            self._buffer += got
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._told |= json.loads(line)
            if not got or "exit" in self._told:
                self._close()

    def _close(self) -> None:
        with self._lock:
            self._ended = True
            self._control.close()
            if self._process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
