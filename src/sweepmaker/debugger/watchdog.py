"""A thread that notices when training stands still."""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Watchdog:
    """Calls ``stalled`` once for every time without a sign of life.

    Args:
        threshold_s: seconds without a `beat`.
        stacks: file that every thread's stack is written to.
        stalled: called from the thread, with the seconds.
    """

    def __init__(self, threshold_s: float, stacks: Path, stalled: Callable[[float], None]) -> None:
        self._threshold_s = threshold_s
        self._stacks = stacks
        self._stalled = stalled
        self._last = time.monotonic()
        self._longest = 0.0
        self._told = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="debugger watchdog", daemon=True)

    def start(self) -> None:
        """Watch from now on."""
        self._last = time.monotonic()
        self._thread.start()

    def beat(self) -> None:
        """A sign of life."""
        now = time.monotonic()
        self._longest = max(self._longest, now - self._last)
        self._last, self._told = now, False

    def longest_gap_s(self) -> float:
        """The longest time between two beats since the last call, seconds."""
        longest, self._longest = self._longest, 0.0
        return longest

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(min(self._threshold_s / 4, 10.0)):
            gap = time.monotonic() - self._last
            if gap > self._threshold_s and not self._told:
                self._told = True
                self._stacks.parent.mkdir(parents=True, exist_ok=True)
                with self._stacks.open("w") as file:
                    faulthandler.dump_traceback(file, all_threads=True)
                self._stalled(gap)
