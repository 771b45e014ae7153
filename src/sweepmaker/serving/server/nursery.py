"""The process that workers are forked from: it has loaded torch and the rest once, and computes nothing.

A worker that takes the place of one that crashed is there in a fraction of a second instead of the
seconds that the imports take, and workers share the memory of what is imported (400 MB each).

``python -m sweepmaker.serving.server.nursery CHANNEL FRONT SETTINGS``: a connected Unix socket's number,
the front's process id, the worker's settings as JSON. Lines of JSON come in on the channel, each with a
file descriptor where a worker is to be started:

- in: ``{"start": number, "gpu": index or null}`` with the worker's end of its own channel; ``{"kill": pid}``
- out: ``{"started": number, "pid": pid}`` or ``{"failed": number, "message": why}``;
  ``{"ended": pid, "status": as os.waitstatus_to_exitcode}``
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from typing import Any, NoReturn

from sweepmaker.serving.server import parents

_FDS = 16  # that may come with one read
_READ = 4096  # bytes


class Nursery:
    """Forks workers when told to, and tells of those that have ended.

    Args:
        channel: to the front.
        settings: of every worker.
    """

    def __init__(self, channel: socket.socket, settings: dict[str, Any]) -> None:
        self._channel = channel
        self._settings = settings
        self._children: set[int] = set()
        self._lines, self._fds = b"", list[int]()
        self._woken, self._wake = socket.socketpair()
        self._wake.setblocking(False)

    def run(self) -> None:
        """Until the front has closed its end; the workers end by themselves then."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno())
        with selectors.DefaultSelector() as selector:
            selector.register(self._channel, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._woken.recv(_READ)
                    self._collect()
                if self._channel in ready and not self._listen():
                    return

    def _listen(self) -> bool:
        """Carry out what the front says; False: it has gone."""
        text, fds, _, _ = socket.recv_fds(self._channel, _READ, _FDS)
        if not text:
            return False
        self._fds += fds
        *lines, self._lines = (self._lines + text).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self._start(int(order["start"]), order["gpu"], self._fds.pop(0))
            elif order["kill"] in self._children:  # else the number may be somebody else's by now
                os.kill(order["kill"], signal.SIGKILL)
        return True

    def _start(self, number: int, gpu: int | None, fd: int) -> None:
        nursery = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no memory, or as many processes as are allowed: the others go on
            os.close(fd)
            self._say({"failed": number, "message": str(error)})
            return
        if pid == 0:
            self._become_worker(nursery, gpu, fd)
        os.close(fd)
        self._children.add(pid)
        self._say({"started": number, "pid": pid})

    def _become_worker(self, nursery: int, gpu: int | None, fd: int) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for own in (self._channel, self._woken, self._wake):
                own.close()
            parents.die_with(nursery)
            parents.first_to_die()
            if gpu is not None:  # nothing has touched CUDA in this process yet
                os.environ["CUDA_VISIBLE_DEVICES"] = one_of_the_visible(gpu)
            from sweepmaker.serving.server import worker

            code = worker.run(socket.socket(fileno=fd), self._settings)
        except BaseException:
            traceback.print_exc()  # the front hears only that it has ended
        finally:  # whatever happens: a second nursery must not come of it
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)

    def _collect(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._say({"ended": pid, "status": os.waitstatus_to_exitcode(status)})

    def _say(self, message: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(message).encode() + b"\n")


def one_of_the_visible(gpu: int) -> str:
    """What CUDA_VISIBLE_DEVICES has to be for the ``gpu``-th, from 0, of those that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return visible.split(",")[gpu].strip() if visible else str(gpu)


def main(fd: int, front: int, settings: dict[str, Any]) -> None:
    """Load what a worker needs, then fork when told to."""
    for signum in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to everybody; the front decides
        signal.signal(signum, signal.SIG_IGN)
    parents.die_with(front)
    for module in ("sweepmaker.serving.server.worker", settings["handler"]):
        importlib.import_module(module)
    try:
        Nursery(socket.socket(fileno=fd), settings).run()
    except BrokenPipeError:
        return  # the front has gone


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
