"""The process over one trial: it starts it, hands signals on, and leaves nothing of it behind.

It is the only one that can tell how the trial ended, so it lives apart from the zygote and from the
server: when the zygote dies it goes on, when the server dies (its end of the socket closes) it kills
the trial, and when it dies itself the kernel kills the trial.

It and the trial's process exist before there is a trial for them, since forking a process with all of
torch in it takes longer than anything else that is done here. Over its first socket comes the one to the
server, with the log; over that one come an `Order` and then single letters (T: terminate, K: kill), and
back go lines of JSON: ``{"guard": pid}``, ``{"trial": pid}``, ``{"exit": code}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NoReturn

from launchers.embedded.runtimes import child, command, failure, linux, namespace
from launchers.embedded.runtimes.order import Order
from launchers.embedded.runtimes.unpack import CodeError

_AGAIN_S = 0.002
_HERE = b"F"  # something has to travel with the file descriptors


def watch(source: socket.socket) -> tuple[Order, int, int]:
    """Be the guard until the trial has ended, and end; without a trial when ``source`` closes.

    Args:
        source: over which ``hand_over`` says for which trial.

    Returns:
        In the trial's own process only: (its order, file descriptor of its log, the guard).
    """
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    linux.adopt_orphans()
    me = os.getpid()
    start_trial, told = socket.socketpair()
    trial = os.fork()
    if trial == 0:
        source.close()
        start_trial.close()
        return *_wait_for_order(told, me), me
    told.close()
    control, log = _taken_over(source)
    try:
        order = Order.receive(control)
    except (EOFError, OSError):
        os._exit(0)
    start = os.lseek(log, 0, os.SEEK_END)
    awake, wake = os.pipe()
    for end in (awake, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    _tell(control, guard=me)
    _tell(control, trial=trial)  # before it starts: who was told of none need not look for one
    with start_trial, contextlib.suppress(OSError):  # killed meanwhile: seen below
        socket.send_fds(start_trial, [_HERE], [log])
        order.send(start_trial)
    _Watch(order, control, log, start, awake, trial).run()


def hand_over(guard: socket.socket, control: int, log: int) -> None:
    """Tell a waiting guard of a trial.

    Args:
        guard: the other end of its ``source``.
        control: file descriptor of the socket to the server.
        log: file descriptor for the trial's output.

    Raises:
        OSError: it is dead.
    """
    socket.send_fds(guard, [_HERE], [control, log])


def _taken_over(source: socket.socket) -> tuple[socket.socket, int]:
    try:
        word, descriptors, _, _ = socket.recv_fds(source, 1, 2)
    except OSError:
        word = b""
    if not word:
        os._exit(0)  # and its trial with it
    source.close()
    control, log = descriptors
    return socket.socket(fileno=control), log


def _wait_for_order(told: socket.socket, guard: int) -> tuple[Order, int]:
    """In the trial's process: (its order, its log); ends with its guard."""
    linux.die_with_parent()
    try:
        word, descriptors, _, _ = socket.recv_fds(told, 1, 1)
        if not word or os.getppid() != guard:
            os._exit(0)
        order = Order.receive(told)
    except (EOFError, OSError):
        os._exit(0)
    told.detach()  # or the number would be closed again later, when it is another file's
    return order, descriptors[0]


class _Watch:
    def __init__(
        self, order: Order, control: socket.socket, log: int, start: int, awake: int, trial: int
    ) -> None:
        self._order = order
        self._control = control
        self._log = log
        self._start = start
        self._awake = awake
        self._trial = trial
        self._status: int | None = None
        self._asked = False  # to end, somehow

    def run(self) -> NoReturn:
        while self._status is None:
            control = self._control.fileno()
            ready, _, _ = select.select([control, self._awake], [], [])
            if self._awake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._awake, 4096)
                self._reap()
            elif control in ready:
                self._obey()
        self._kill_all()
        code = self._outcome(os.waitstatus_to_exitcode(self._status))
        shutil.rmtree(self._order.scratch, ignore_errors=True)
        namespace.clean(Path(self._order.ml))
        _tell(self._control, exit=code)
        os._exit(0)

    def _obey(self) -> None:
        try:
            words = self._control.recv(64)
        except OSError:
            words = b""
        if not words or b"K" in words:
            self._asked = True
            self._kill_all()
        elif b"T" in words:
            self._terminate()

    def _terminate(self) -> None:
        """As PID 1 of a container: it gets the signal, if it has a handler for it.

        A script that runs in a warm process hears it in any case; AWS's toolkit never lets it know.
        """
        self._asked = True
        script = command.runs_script(self._order)
        if script and self._order.way == "toolkit":
            return
        if script or linux.catches(self._trial, signal.SIGTERM):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._trial, signal.SIGTERM)

    def _kill_all(self) -> None:
        """End every process below this one, and wait until there is none."""
        if self._status is None:
            os.kill(self._trial, signal.SIGKILL)  # not collected yet: the number is its own
        while self._reap():
            for pid in linux.descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_AGAIN_S)

    def _reap(self) -> bool:
        """Collect what has ended; whether there are children left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._trial:
                self._status = status

    def _outcome(self, code: int) -> int:
        """The container's exit code; where a script ran, it is AWS's toolkit that ends, with 0 or 1."""
        if not command.runs_script(self._order) or self._order.way == "toolkit" or self._asked:
            return code
        try:
            self._write_outcome(code)
        except (OSError, CodeError) as error:
            child.note(f"no output/{'failure' if code else 'success'}: {error}", self._log)
        return min(abs(code), 1)

    def _write_outcome(self, code: int) -> None:
        if code == 0:
            (self._order.failure.parent / "success").touch()
        elif not self._order.failure.exists():
            found = command.of(self._order)
            text = failure.of_script(found.arguments, code, self._log, self._start)
            failure.write(self._order.failure, text)


def _tell(control: socket.socket, **what: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more: the next read says so
        control.sendall(json.dumps(what).encode() + b"\n")


def main(control: int, log: int) -> NoReturn:
    """A guard of its own, freshly started."""
    mine, theirs = socket.socketpair()
    hand_over(mine, control, log)
    for end in (control, log, mine.detach()):
        os.close(end)
    child.run(*watch(theirs))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
