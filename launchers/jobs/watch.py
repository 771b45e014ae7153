"""Stay with a job until it has ended. Ctrl-C leaves it to itself; a second one stops it."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

from launchers.aws.clients import Clients
from launchers.aws.failures import explained
from launchers.jobs.operations import Operation
from launchers.jobs.poller import Poller
from launchers.jobs.standing import Job, Looker
from launchers.jobs.table import Screen, open_screen
from sweepmaker.config.errors import UserError
from sweepmaker.run.interrupt import Interrupted

SECOND_S = 3.0
"""Seconds within which a second Ctrl-C stops the job."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def watch(clients: Clients, kind: Operation, name: str, again: Sequence[str] = ()) -> tuple[Clients, Job]:
    """Show the job until it has ended.

    Args:
        clients: to ask with.
        kind: of the job.
        name: of the job.
        again: the words that lead here from another command line (``where=...``).

    Returns:
        the clients that had the last answer (a server may have come back elsewhere), and that answer.

    Raises:
        Interrupted: Ctrl-C or SIGTERM; how to come back was said, or the job was asked to stop.
        UserError: the service refuses or does not answer any more; how to come back is in the message.
    """
    looker = Looker(clients, kind, name)
    with _Signals() as signals:
        try:
            job = _show(looker, signals)
            return looker.clients, job
        except Interrupted as asked:
            _leave(looker, again, signals)
            raise Interrupted(asked.signum) from None
        except UserError as error:
            back = f"the job itself goes on; {come_back(name, again)}"
            error.fix = f"{error.fix}; {back}" if error.fix else back
            raise


def come_back(name: str, again: Sequence[str] = ()) -> str:
    """How to return to a job from a command line."""
    return f"to come back: {command('watch', name, again)}"


def command(action: str, name: str, again: Sequence[str] = ()) -> str:
    """A command line about a job."""
    return shlex.join(["python", "launch.py", f"action={action}", f"job.name={name}", *again])


def stop(clients: Clients, kind: Operation, name: str) -> None:
    """Ask the service to stop a job; what its trials have by then is kept.

    Raises:
        UserError: the service refuses or could not be reached.
    """
    with explained(clients.where):
        getattr(clients.sagemaker, kind.stop)(**{kind.name: name})


def _show(looker: Looker, signals: _Signals) -> Job:
    screen = open_screen()
    with contextlib.closing(screen):
        return _last(Poller(looker, screen.say, sleep=signals.sleep).jobs(), screen)


def _last(jobs: Iterator[Job], screen: Screen) -> Job:
    for job in jobs:
        screen.show(job)
    return job


def _leave(looker: Looker, again: Sequence[str], signals: _Signals) -> None:
    """Say what happens to the job; a second Ctrl-C within `SECOND_S` stops it."""
    name, word = looker.name, looker.kind.word
    _say(f"\nthe {word} {name} goes on without this program")
    _say(f"  {come_back(name, again)}")
    _say(f"  to stop it: {command('stop', name, again)}")
    if signals.count(signal.SIGTERM):
        return
    _say(f"  Ctrl-C again within {SECOND_S:g} s stops it now")
    deadline = time.monotonic() + SECOND_S
    while signals.count(signal.SIGINT) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    if signals.count(signal.SIGINT) < 2:
        return
    try:
        stop(looker.clients, looker.kind, name)
    except UserError as error:
        _say(f"the {word} {name} could not be stopped: {error}")
    else:
        _say(f"the {word} {name} is being stopped; what it has until then: {command('collect', name, again)}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Signals:
    """Within, the first Ctrl-C or SIGTERM raises `Interrupted`; further ones are counted.

    Outside the main thread, where Python forbids it, nothing is taken over.
    """

    def __init__(self) -> None:
        self._came: list[int] = []
        self._before: dict[int, object] = {}

    def __enter__(self) -> _Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def count(self, number: int) -> int:
        """How many of these came."""
        return self._came.count(number)

    def sleep(self, seconds: float) -> None:
        """Wait; an interruption that got lost (Python swallows what is raised in a ``__del__``) is raised."""
        if self._came:
            raise Interrupted(self._came[0])
        time.sleep(seconds)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)
        if len(self._came) == 1:
            raise Interrupted(number)
