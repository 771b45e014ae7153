"""SIGTERM and Ctrl-C at any moment of the process: end soon, at a point where nothing is lost.

Outside of training the signal raises `Interrupted` at once: whatever is written there is written
atomically. Inside `deferred()` (the fit loop) it only sets a flag, because an exception between
``optimizer.step`` of two layers would leave weights that no run ever has; the resume callback looks
at the flag between batches, saves, and raises. A second signal does not wait for that.

Lightning's own handling ends with exit code 0 and only looks between batches of training.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_RETRY_S = 2.0  # an exception raised inside __del__ is swallowed by Python: raise again after this


class Interrupted(BaseException):
    """The run was asked to end; a BaseException, so that no ``except Exception`` swallows it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum
        self.exit_code = 128 + signum  # 143 for SIGTERM, 130 for Ctrl-C

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        return type(self), (self.signum,)  # a worker process of a launcher sends it to its parent


class _State:
    requested: int | None = None
    doing: str | None = None  # what a signal is told that has to wait


_state = _State()


def install() -> None:
    """Take over SIGTERM and SIGINT; does nothing outside the main thread, where Python forbids it."""
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in _SIGNALS:
        signal.signal(signum, _handle)
    signal.signal(signal.SIGALRM, _raise_again)


def requested() -> int | None:
    """The signal that asked this process to end, or None."""
    return _state.requested


def request(signum: int = signal.SIGTERM) -> None:
    """Ask this process to end as if it had got the signal: another rank of its run did."""
    _state.requested = _state.requested or signum


def raise_if_requested() -> None:
    """Raise `Interrupted` if a signal came in since."""
    if _state.requested is not None:
        raise Interrupted(_state.requested)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within, a first signal is only noted; on leaving without an exception it raises."""
    with noted("saving after this batch, then ending"):
        yield
    raise_if_requested()


@contextlib.contextmanager
def noted(doing: str = "ending soon") -> Iterator[None]:
    """Within, a first signal is only noted, and answered with ``doing``; the caller raises it."""
    _state.doing = doing
    try:
        yield
    finally:
        _state.doing = None


def finish() -> None:
    """The interruption is being dealt with: stop raising, and ignore what else comes in."""
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0)
        for signum in _SIGNALS:
            signal.signal(signum, signal.SIG_IGN)


def _handle(signum: int, frame: FrameType | None) -> None:
    again = _state.requested is not None
    _state.requested = _state.requested or signum
    name = signal.Signals(signum).name
    if _state.doing is not None and not again:
        _say(f"{name}: {_state.doing} (a second one ends at once)")
        return
    _say(f"{name}: ending")
    signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
    raise Interrupted(_state.requested)


def _raise_again(signum: int, frame: FrameType | None) -> None:
    if _state.requested is not None:
        signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
        raise Interrupted(_state.requested)


def _say(message: str) -> None:
    # print() is not reentrant: a signal may come while the main thread holds stderr's lock
    with contextlib.suppress(OSError):
        os.write(2, f"\n{message}\n".encode())
