"""Readings of the machine from a run's first moment on: loading torch and data may be most of its start.

Imported before torch is: nothing here needs it.
"""

from __future__ import annotations

import logging
import threading
import time

from omegaconf import DictConfig

from sweepmaker.profiler import settings
from sweepmaker.profiler.machine import Machine

log = logging.getLogger(__name__)

Reading = tuple[float, dict[str, float], list[float]]
"""(seconds since the run began, channels, percent of each core), as `Machine.read` gives them."""
_MOST = 2048  # readings that are kept


class Early(threading.Thread):
    """Reads until `stop`.

    Args:
        sample_s: seconds between two readings.
        began: seconds of `time.perf_counter` at which the run began.

    Attributes:
        machine: what is read; the caller's after `stop`.
    """

    def __init__(self, sample_s: float, began: float) -> None:
        super().__init__(name="profiler, early", daemon=True)
        self.machine = Machine()
        self._sample_s = sample_s
        self._began = began
        self._readings: list[Reading] = []
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._sample_s):
            self.look()

    def look(self) -> None:
        """One reading."""
        self._readings.append((time.perf_counter() - self._began, *self.machine.read()))
        if len(self._readings) >= _MOST:  # a start of many minutes: half as often so far
            self._readings = self._readings[::2]

    def stop(self) -> list[Reading]:
        """End, and take what was read."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout=5.0)
        return self._readings


def begin(cfg: DictConfig, began: float) -> Early | None:
    """Start reading; None where the run is not to be profiled, or the machine cannot be read."""
    asked = settings.read(cfg) if cfg.train else None
    if asked is None:
        return None
    try:
        early = Early(asked.sample_s, began)
    except Exception as error:  # it will be said once more, by the profiler itself
        log.debug("the machine cannot be read", exc_info=error)
        return None
    early.start()
    return early
