"""The thread that reads the machine twice a second while a run trains, and lets the rules look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.gpus import Gpus
from sweepmaker.profiler.machine import Machine
from sweepmaker.profiler.profile import Profile

log = logging.getLogger(__name__)

_WRITE_S = 10.0
_WRITE_SHARE = 1 / 400  # of the time may go into writing: a long series is written less often


class Sampler(threading.Thread):
    """
    Args:
        profile: takes the samples and the steps; this thread's own until it has been stopped.
        clock: where the steps come from.
        machine: what is read.
        gpus: what is read of GPUs.
        seconds: tells how long this process has been at the run.
        scan: lets the rules look at ``profile``.
        write: keeps ``profile``.

    Attributes:
        error: what ended the thread too early, or None.
        until: seconds since the run began, of the last reading.
    """

    def __init__(
        self,
        profile: Profile,
        clock: StepClock,
        machine: Machine,
        gpus: Gpus,
        seconds: Callable[[], float],
        scan: Callable[[], None],
        write: Callable[[], None],
    ) -> None:
        super().__init__(name="profiler", daemon=True)
        self.profile = profile
        self._clock = clock
        self._machine = machine
        self._gpus = gpus
        self._seconds = seconds
        self._scan = scan
        self._write = write
        self._ended = threading.Event()
        self._unwritten = False  # it was said
        self.error: Exception | None = None
        self.until = 0.0

    def run(self) -> None:
        interval = self.profile.settings.sample_s
        begun = time.monotonic()
        due, scan_due, write_due = begun + interval, begun + self.profile.settings.scan_s, begun + 2.0
        try:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                self.look()
                now = time.monotonic()
                if now >= scan_due:
                    if self._training:  # later, as during a long test, nothing new is there to be seen
                        self._scan()
                    scan_due = now + self.profile.settings.scan_s
                if now >= write_due:
                    self._keep()
                    took = time.monotonic() - now
                    write_due = now + max(_WRITE_S, took / _WRITE_SHARE)
                # a machine that was too busy to let us run in time is not asked twice in a row for it
                due = max(due + interval, time.monotonic() + interval / 2)
        except Exception as error:  # the run goes on without being watched
            self.error = error
            self._clock.keep = False  # nobody takes them any more
            log.warning("the profiler ended: %s: %s", type(error).__name__, error)

    def _keep(self) -> None:
        try:
            self._write()
        except OSError as error:  # a full disk may have room again, and a network's may come back
            if not self._unwritten:
                log.warning("the profile is not kept for now, the run goes on: %s", error)
            self._unwritten = True

    def look(self) -> None:
        """One reading of everything."""
        self.until = now = self.profile.earlier_s + self._seconds()
        found, cores = self._machine.read()
        self.profile.add_steps(now, self._clock.drain())
        self.profile.add_sample(now, found, cores, self._gpus.read(), training=self._training)

    @property
    def _training(self) -> bool:
        return self._clock.first is not None and self._clock.ended is None

    def stop(self) -> None:
        """End, at most one reading from now; the profile is the caller's then."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=5.0)
