"""What the machine is doing: CPU, memory, disk, network; limits of a container respected."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from sweepmaker.run.cgroup import Limits

_FAMILY_S = 10.0  # between two looks for new worker processes: walking all processes is dear
_HASTE_S = 1.0  # likewise, while they come and go: an epoch may be shorter than that
_FAILURES = 5  # in a row, after which a counter is not asked again
_DIFFERENCES = {
    "cpu": ("cpu", "quota"), "process": ("process",), "disk": ("disk_read", "disk_write"),
    "net": ("net_in", "net_out"),
}  # fmt: skip
"""What each counter was before, for the difference to what it is now."""
CHANNELS = (
    "cpu", "iowait", "iowait_max", "memory", "run_cpu", "process_cpu", "process_memory", "workers",
    "disk_read", "disk_write", "net_in", "net_out",
)  # fmt: skip
"""Percent of the usable cores, of the core that waits most, of the memory limit; of this run with its worker
processes: percent of the usable cores, percent of one core, GiB of memory, number of workers; bytes a
second."""


class Machine:
    """Counters of this machine as differences between two readings.

    Attributes:
        cores: numbers of the cores that this process may use.
        missing: counters that this system does not have.
        whole: this process and its children are all of the run here. Else what the run itself uses is left
            out: other processes of it, started by somebody else, would count as other programs.
    """

    def __init__(self) -> None:
        self.cores: list[int] = _cores()
        self._limits = Limits()
        self.missing: list[str] = []
        self.whole = True
        self._failures: Counter[str] = Counter()
        self._process = psutil.Process()
        self._family: dict[int, Any] = {}
        self._looked, self._pause = float("-inf"), _HASTE_S
        self._before: dict[str, Any] = {}
        self._at = time.perf_counter()
        self.read()

    def read(self) -> tuple[dict[str, float], list[float]]:
        """The channels that can be read, and the load of each core in percent."""
        now = time.perf_counter()
        seconds, self._at = max(now - self._at, 1e-6), now
        found: dict[str, float] = {}
        cores: list[float] = []
        self._try("cpu", lambda: cores.extend(self._cpu(found, seconds)))
        self._try("memory", lambda: found.update(memory=self._memory()))
        self._try("process", lambda: self._own(found, seconds))
        self._try("disk", lambda: self._rates(found, seconds, psutil.disk_io_counters(),
                                              disk_read="read_bytes", disk_write="write_bytes"))  # fmt: skip
        self._try("net", lambda: self._rates(found, seconds, psutil.net_io_counters(),
                                             net_in="bytes_recv", net_out="bytes_sent"))  # fmt: skip
        return found, cores

    def _try(self, name: str, read: Callable[[], None]) -> None:
        """Containers lack some counters: one that fails again and again is not asked any more."""
        if name in self.missing:
            return
        try:
            read()
            self._failures[name] = 0
        except Exception:  # psutil raises what it meets: OSError, its own errors, a parser's ValueError
            for before in _DIFFERENCES.get(name, ()):  # of several intervals by now: no rate of one
                self._before.pop(before, None)
            self._failures[name] += 1
            if self._failures[name] >= _FAILURES:
                self.missing.append(name)

    def _cpu(self, found: dict[str, float], seconds: float) -> list[float]:
        times = psutil.cpu_times(percpu=True)
        before, self._before["cpu"] = self._before.get("cpu"), times
        quota = self._limits.cores
        used = self._limits.cpu_s() if quota else None
        last, self._before["quota"] = self._before.get("quota"), used
        if before is None or len(before) != len(times):
            return []
        busy, waiting = [], []
        for core in self.cores:
            if core >= len(times):
                continue
            old, new = before[core], times[core]
            total = max(sum(new[:8]) - sum(old[:8]), 1e-9)  # guest time stands in user time already
            wait = getattr(new, "iowait", 0.0) - getattr(old, "iowait", 0.0)
            idle = new.idle - old.idle + wait
            busy.append(min(100.0, max(0.0, 100 * (1 - idle / total))))
            waiting.append(min(100.0, max(0.0, 100 * wait / total)))
        if busy:
            found["cpu"] = sum(busy) / len(busy)
            if hasattr(times[0], "iowait"):  # macOS has none
                found["iowait"], found["iowait_max"] = sum(waiting) / len(waiting), max(waiting)
        if quota and quota < len(self.cores) and used is not None and last is not None:
            found["cpu"] = min(100.0, 100 * (used - last) / seconds / quota)
        return busy

    def _memory(self) -> float:
        limited = self._limits.memory()
        return float(psutil.virtual_memory().percent) if limited is None else limited

    @property
    def memory_gib(self) -> float:
        """What this process may use at most, GiB."""
        whole: int = psutil.virtual_memory().total
        return min(whole, self._limits.most_memory() or whole) / 2**30

    def _own(self, found: dict[str, float], seconds: float) -> None:
        now = time.monotonic()
        if now - self._looked > min(self._pause, _FAMILY_S):
            self._looked = now
            family = {process.pid: process for process in self._process.children(recursive=True)}
            self._pause = _HASTE_S if family.keys() != self._family.keys() else 2 * self._pause
            self._family = {pid: self._family.get(pid, process) for pid, process in family.items()}
        spent: dict[int, float] = {}
        memory = 0
        for process in (self._process, *self._family.values()):
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    memory += process.memory_info().rss
                spent[process.pid] = times.user + times.system
            except psutil.NoSuchProcess:  # others may have come in its place
                self._pause = _HASTE_S
            except psutil.AccessDenied:  # a child that belongs to somebody else now
                continue
        before, self._before["process"] = self._before.get("process"), spent
        if before and self.whole:
            # a process that is seen for the first time may have worked for seconds: it counts from now on
            used = sum(now - before[pid] for pid, now in spent.items() if pid in before)
            # the times were read some time after the interval's end, where this thread had to wait
            found["process_cpu"] = min(100 * used / seconds, 100.0 * len(self.cores))
            found["run_cpu"] = min(
                100.0, found["process_cpu"] / min(self._limits.cores or 1e9, len(self.cores))
            )
        found["process_memory"] = memory / 2**30
        found["workers"] = float(len(spent) - 1)

    def _rates(self, found: dict[str, float], seconds: float, counters: Any, **names: str) -> None:
        if counters is None:
            raise LookupError("no such device")
        for channel, field in names.items():
            value = getattr(counters, field)
            before, self._before[channel] = self._before.get(channel), value
            if before is not None and value >= before:
                found[channel] = (value - before) / seconds


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
