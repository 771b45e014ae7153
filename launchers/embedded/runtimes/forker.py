"""The server's end of a zygote, from which the guards of trials are forked."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import threading
import time
from pathlib import Path

from launchers.embedded.runtimes.handle import GuardHandle
from launchers.embedded.runtimes.order import Order
from launchers.embedded.runtimes.spawn import spawn
from launchers.embedded.runtimes.zygote import READY

_WARM_S = 300.0  # importing from a cold disk, with other trials at work
_GUARD_S = 60.0
_ATTEMPTS = 10  # for as long as somebody kills it
_LOOK_S = 0.1
_END_S = 5.0


class Forker:
    """One `zygote` serves all trials; it is started with the first of them, and again when it was killed.

    Args:
        root: of the server.
        warm: whether it has imported what trials would import; a cold one starts at once.
    """

    def __init__(self, root: Path, *, warm: bool) -> None:
        self._root = root
        self._warm = warm
        self._zygote: _Zygote | None = None
        self._starting = threading.Lock()
        self._closed = False

    @property
    def zygote(self) -> int | None:
        """Its process id, while there is one."""
        return None if self._zygote is None else self._zygote.process.pid

    def close(self) -> None:
        """End it."""
        with self._starting:
            self._closed = True
            zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()

    def start(self, order: Order, log: int) -> GuardHandle:
        """A guard for ``order``, whose trial prints to the open file ``log``.

        Raises:
            RuntimeError: this one is closed, or no process could be started.
        """
        for _ in range(_ATTEMPTS):
            with self._starting:
                zygote = self._alive()
            if not zygote.ready(_WARM_S):
                dropped = self._drop(zygote)
                if not dropped or (zygote.process.returncode or 0) < 0:
                    continue  # killed, by somebody or by another trial's start
                words = zygote.last_words()
                raise RuntimeError(f"the process that trials are forked from did not start: {words}")
            mine, theirs = socket.socketpair()
            handle = GuardHandle(mine, order)
            with theirs, contextlib.suppress(OSError):  # killed meanwhile: seen below
                zygote.send(theirs, log)
                order.send(mine)
            # a guard that has not told of a trial has none, and if it comes to life it finds no server
            if handle.until("trial", _GUARD_S):
                return handle
            handle.kill()
            if handle.guard is None:
                self._drop(zygote)
        raise RuntimeError("the process that trials are forked from was killed again and again")

    def _alive(self) -> _Zygote:
        if self._closed:
            raise RuntimeError("this runtime is closed")
        if self._zygote is None or self._zygote.process.poll() is not None:
            if self._zygote is not None:
                self._zygote.close()
            self._zygote = _Zygote(self._root, self._warm)
        return self._zygote

    def _drop(self, zygote: _Zygote) -> bool:
        """Give it up, so that the next trial starts another; whether nobody had done so yet."""
        with self._starting:
            first = self._zygote is zygote
            if first:
                self._zygote = None
        zygote.close()
        return first


class _Zygote:
    """The server's end of it."""

    def __init__(self, root: Path, warm: bool) -> None:
        self._log = root / ("zygote.log" if warm else "zygote-cold.log")
        self._lock = threading.Lock()
        self._ready = False
        self._socket, theirs = socket.socketpair()
        with theirs, self._log.open("wb") as log:
            module = "launchers.embedded.runtimes.zygote"
            self.process = spawn(module, [theirs.fileno(), int(warm)], [theirs.fileno()], root, log.fileno())

    def ready(self, timeout: float) -> bool:
        """Wait until it has imported everything."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            with self._lock:
                if not self._ready and self._heard():
                    self._ready = self._socket.recv(1) == READY
                if self._ready or self._socket.fileno() < 0 or self.process.poll() is not None:
                    break
        return self._ready

    def _heard(self) -> bool:
        return self._socket.fileno() >= 0 and bool(select.select([self._socket], [], [], _LOOK_S)[0])

    def send(self, control: socket.socket, log: int) -> None:
        """Have it fork a guard for the other end of ``control``.

        Raises:
            OSError: it is dead.
        """
        with self._lock:
            socket.send_fds(self._socket, [b"F"], [control.fileno(), log])

    def last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        with self._lock:
            self._socket.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
