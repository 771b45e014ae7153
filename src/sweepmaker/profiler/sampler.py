"""The thread that reads the machine twice a second, from a run's start on, and lets the rules look."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sweepmaker.profiler.clock import StepClock
from sweepmaker.profiler.gpus import Gpus
from sweepmaker.profiler.machine import Machine
from sweepmaker.profiler.profile import Profile
from sweepmaker.profiler.settings import Settings

log = logging.getLogger(__name__)

_WRITE_S = 10.0
_WRITE_SHARE = 1 / 400  # of the time may go into writing: a long series is written less often
_EARLY = 2048  # readings that wait for a profile
Reading = tuple[float, dict[str, float], list[float]]
"""(seconds, channels, percent of each core)."""


class Sampler(threading.Thread):
    """Reads from its start on; what it reads before there is a profile waits for one.

    Args:
        settings: how often.
        clock: where the steps come from.
        machine: what is read.
        seconds: tells how long this process has been at the run.
    """

    def __init__(
        self, settings: Settings, clock: StepClock, machine: Machine, seconds: Callable[[], float]
    ) -> None:
        super().__init__(name="profiler", daemon=True)
        self._settings = settings
        self._clock = clock
        self._machine = machine
        self._seconds = seconds
        self._early: list[Reading] = []
        self._work: _Work | None = None
        self._ended = threading.Event()
        self.error: Exception | None = None

    def fill(self, profile: Profile, gpus: Gpus, scan: Callable[[], None], write: Callable[[], None]) -> None:
        """From now on everything goes into ``profile``, which is this thread's own until it has stopped.

        Args:
            profile: takes the samples and the steps.
            gpus: what is read of GPUs.
            scan: lets the rules look at ``profile``.
            write: keeps ``profile``.
        """
        self._work = _Work(profile, gpus, scan, write)

    def run(self) -> None:
        interval = self._settings.sample_s
        begun = time.monotonic()
        due, scan_due, write_due = begun + interval, begun + self._settings.scan_s, begun + 2.0
        try:
            while not self._ended.wait(max(0.0, due - time.monotonic())):
                self.look()
                now = time.monotonic()
                if self._work is not None and now >= scan_due:
                    if self._training:  # later, as during a long test, nothing new is there to be seen
                        self._work.scan()
                    scan_due = now + self._settings.scan_s
                if self._work is not None and now >= write_due:
                    self._work.write()
                    took = time.monotonic() - now
                    write_due = now + max(_WRITE_S, took / _WRITE_SHARE)
                # a machine that was too busy to let us run in time is not asked twice in a row for it
                due = max(due + interval, time.monotonic() + interval / 2)
        except Exception as error:  # the run goes on without being watched
            self.error = error
            self._clock.keep = False  # nobody takes them any more
            log.warning("the profiler ended: %s: %s", type(error).__name__, error)

    def look(self) -> None:
        """One reading of everything."""
        now = self._seconds()
        found, cores = self._machine.read()
        work = self._work
        if work is None:
            self._early.append((now, found, cores))
            if len(self._early) >= _EARLY:  # a start of many minutes: half as often from here on
                self._early = self._early[::2]
            return
        self.hand_over()
        before = sum(work.profile.before.values())  # the run's time goes on where an earlier process stopped
        work.profile.add_steps(before + now, self._clock.drain())
        work.profile.add_sample(before + now, found, cores, work.gpus.read(), training=self._training)

    def hand_over(self) -> None:
        """Give the profile what was read before it was there."""
        if self._work is None:
            return
        early, self._early = self._early, []
        before = sum(self._work.profile.before.values())
        for time_, found, cores in early:
            self._work.profile.add_sample(before + time_, found, cores, (), training=False)

    @property
    def _training(self) -> bool:
        return self._clock.first is not None and self._clock.ended is None

    def stop(self) -> None:
        """End, at most one reading from now; the profile is the caller's then."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=5.0)


@dataclass(frozen=True)
class _Work:
    profile: Profile
    gpus: Gpus
    scan: Callable[[], None]
    write: Callable[[], None]
