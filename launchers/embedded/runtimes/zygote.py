"""The process that trials are forked from: ``python -m launchers.embedded.runtimes.zygote``.

A warm one has imported what every trial would import, and nothing else has happened in it: no tensor
operation (libraries of threads don't survive a fork), no CUDA, one thread only. A cold one has imported
nothing: its trials are started afresh. It knows nothing of
trials either: it has a `guard` forked and waiting, hands each request (one byte, with the log and a
socket) to it, which does the rest, and forks the next. What a killed guard leaves behind comes to it as
orphans, which it kills.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

from launchers.embedded.runtimes import child, guard, linux, rehearsal

# third-party only: the job's own code comes with the job
WARM = (
    "numpy",
    "PIL.Image",
    "torch",
    "torchvision",
    "torchvision.transforms.v2",
    "torchvision.io",
    "torchmetrics",
    "lightning",
    "lightning.pytorch",
    "omegaconf",
    "hydra",
    "hydra.main",
    "yaml",
    "psutil",
    "rich",
    "rich.progress",
    "safetensors.torch",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
)
READY = b"R"
_AGAIN_S = 0.02
_LOOK_S = 0.25
_SETTLED_S = 0.3  # after a trial was handed over: forking the next guard would slow its start


def warm_up(server: socket.socket) -> None:
    """Import; ends when the server goes meanwhile.

    Raises:
        RuntimeError: something started a thread, which a fork would lose.
    """

    def look(*_: object) -> None:
        with contextlib.suppress(BlockingIOError):
            if not server.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK_S, _LOOK_S)
    try:
        for name in WARM:
            with contextlib.suppress(ModuleNotFoundError):  # a trial that needs it says so
                importlib.import_module(name)
            if (count := linux.threads()) != 1:
                raise RuntimeError(f"import {name} left {count} threads: trials cannot be forked")
        rehearsal.rehearse()
    finally:  # or the signal ends this process before it has told what went wrong
        signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    gc.collect()
    gc.freeze()  # a collection in a child would write to all of these pages


class _Zygote:
    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._guards: set[int] = set()
        self._next = 0  # the guard that waits
        self._to_next: socket.socket | None = None
        self._when = 0.0  # the next one is forked
        self._awake, wake = os.pipe()
        for end in (self._awake, wake):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def serve(self) -> socket.socket:
        """Fork guards until the server goes.

        Returns:
            In a new guard only: what it is told of its trial through.
        """
        orphans = False
        while True:
            due = self._to_next is None and time.monotonic() >= self._when
            if due and (source := self._fork()) is not None:
                return source
            server = self._server.fileno()
            wait = [_AGAIN_S] if orphans else []
            wait += [] if self._to_next else [max(0.0, self._when - time.monotonic())]
            ready, _, _ = select.select([server, self._awake], [], [], min(wait, default=None))
            if self._awake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._awake, 4096)
            orphans = self._collect()
            if server in ready:
                word, descriptors, _, _ = socket.recv_fds(self._server, 1, 2)
                if not word:
                    self._end()
                if (source := self._hand_over(*descriptors)) is not None:
                    return source

    def _hand_over(self, control: int, log: int) -> socket.socket | None:
        """Give the trial to the guard that waits, or to a new one; as ``serve`` in a new guard."""
        for _ in range(2):  # the one that waits may have been killed
            if self._to_next is None and (source := self._fork()) is not None:
                return source
            assert self._to_next is not None
            with self._to_next as to_next, contextlib.suppress(OSError):
                self._to_next = None
                guard.hand_over(to_next, control, log)
                break
        # else the server sees that there is no trial
        os.close(control)
        os.close(log)
        self._when = time.monotonic() + _SETTLED_S
        return None

    def _fork(self) -> socket.socket | None:
        """A guard that waits for its trial; as ``serve`` in the new guard."""
        self._to_next, source = socket.socketpair()
        self._next = os.fork()
        if self._next == 0:
            signal.set_wakeup_fd(-1)
            for end in (self._server, self._to_next):
                end.detach()  # closed here; the number will be another file's
            _close_all_but(source.fileno())
            return source
        source.close()
        self._guards.add(self._next)
        return None

    def _collect(self) -> bool:
        """Reap guards; kill what a killed one left, and say whether there is any."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                break
            self._guards.discard(pid)
        mine = {pid for pid, parent in linux.parents().items() if parent == os.getpid()}
        orphans = mine - self._guards
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(orphans)

    def _end(self) -> NoReturn:
        # the guards see for themselves that the server is gone; they end within moments
        deadline = time.monotonic() + 2
        if self._to_next is not None:
            self._to_next.close()
        while (self._collect() or self._next in self._guards) and time.monotonic() < deadline:
            time.sleep(_AGAIN_S)
        os._exit(0)


def _close_all_but(kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2 and int(name) != kept:
            with contextlib.suppress(OSError):  # the one that lists them
                os.close(int(name))


def main(descriptor: int, *, warm: bool) -> NoReturn:
    """Serve the socket ``descriptor``; a forked trial ends in here too."""
    server = socket.socket(fileno=descriptor)
    linux.adopt_orphans()
    if warm:
        warm_up(server)
    server.sendall(READY)
    child.run(*guard.watch(_Zygote(server).serve()))


if __name__ == "__main__":
    main(int(sys.argv[1]), warm=sys.argv[2] == "1")
