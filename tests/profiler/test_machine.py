"""The real machine's counters, a container's limits, and counters that are not there."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sweepmaker.profiler import machine
from sweepmaker.profiler.machine import CHANNELS, Machine
from sweepmaker.run import cgroup


def busy(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_what_this_process_does_shows() -> None:
    watched = Machine()
    watched.read()
    busy(0.3)
    found, cores = watched.read()
    assert len(cores) == len(watched.cores) and all(0 <= load <= 100 for load in cores)
    assert set(found) <= set(CHANNELS)
    assert 5 < found["process_cpu"] < 300  # percent of a core; others may have the machine too
    assert found["cpu"] > 1 and 0 < found["memory"] <= 100
    assert 0.01 < found["process_memory"] < 100


def test_worker_processes_count_and_may_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_FAMILY_S", 0.0)
    watched = Machine()
    before = watched.read()[0]["workers"]
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert watched.read()[0]["workers"] == before + 1
    finally:
        child.kill()
        child.communicate()
    assert watched.read()[0]["workers"] == before


def test_what_a_worker_did_before_it_was_seen_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import time\nwhile time.process_time() < 1: pass\nprint(flush=True)\ninput()"
    watched = Machine()
    watched.read()
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None and child.stdout.readline()  # a second of CPU is behind it
        watched.read()
        monkeypatch.setattr(machine, "_FAMILY_S", 0.0)
        time.sleep(0.3)  # what is measured over: CPU time comes in ticks of 10 ms
        found, _ = watched.read()
        assert found["workers"] >= 1 and found["process_cpu"] < 100 and found["run_cpu"] <= 100
    finally:
        child.kill()
        child.communicate()


def test_a_machine_without_some_counters_gives_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def broken(*_: object, **__: object) -> None:
        calls.append(1)
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "disk_io_counters", broken)
    monkeypatch.setattr(psutil, "net_io_counters", lambda: None)
    watched = Machine()
    for _ in range(8):
        found, _ = watched.read()
    assert "memory" in found and "disk_read" not in found and "net_in" not in found
    assert watched.missing == ["disk", "net"]
    assert len(calls) == 5  # not asked again and again


def test_a_counter_that_fails_once_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Machine()
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "virtual_memory", lambda: 1 / 0)
        patch.setattr(watched, "_limits", cgroup.Limits(Path("nowhere"), Path("nowhere")))
        for _ in range(4):
            assert "memory" not in watched.read()[0]
    assert "memory" in watched.read()[0] and watched.missing == []


def test_what_happened_while_a_counter_failed_is_no_peak_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, sent = [0.0], [0]
    monkeypatch.setattr(machine.time, "perf_counter", lambda: clock[0])
    broken = [False]

    def counters() -> SimpleNamespace:
        if broken[0]:
            raise OSError
        return SimpleNamespace(bytes_recv=sent[0], bytes_sent=sent[0])

    monkeypatch.setattr(psutil, "net_io_counters", counters)
    watched = Machine()
    rates = []
    for second in range(1, 9):
        clock[0], sent[0], broken[0] = second, 1000 * second, 3 <= second <= 5
        rates.append(watched.read()[0].get("net_in"))
    assert rates == [1000, 1000, None, None, None, None, 1000, 1000]


def test_a_child_of_somebody_else_does_not_take_the_others_along(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign:
        pid = 1

        def oneshot(self) -> object:
            raise psutil.AccessDenied

    watched = Machine()
    watched._family = {1: Foreign()}
    found = watched.read()[0]
    assert found["process_memory"] > 0 and found["workers"] == 0


def test_workers_that_come_and_go_are_looked_for_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a loader without persistent workers live for an epoch."""
    clock = [0.0]
    monkeypatch.setattr(machine.time, "monotonic", lambda: clock[0])
    looks: list[float] = []
    watched = Machine()
    watched._process.children = lambda recursive: looks.append(clock[0]) or []  # type: ignore[method-assign,assignment,func-returns-value]
    for _ in range(60):
        clock[0] += 1
        watched.read()
    assert 4 <= len(looks) <= 9  # settled: every ten seconds
    looks.clear()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    watched._family = {gone.pid: psutil.Process(gone.pid)}
    gone.wait()
    for _ in range(3):
        clock[0] += 1.1
        watched.read()
    assert looks and looks[0] <= 62.3


def test_what_other_processes_of_the_run_use_is_not_called_others() -> None:
    watched = Machine()
    watched.whole = False  # torchrun's are siblings
    time.sleep(0.1)
    found = watched.read()[0]
    assert "run_cpu" not in found and "process_cpu" not in found and "process_memory" in found


def test_a_machine_without_iowait(monkeypatch: pytest.MonkeyPatch) -> None:
    class Times(tuple[float, ...]):
        user, nice, system = 1.0, 0.0, 1.0

        @property
        def idle(self) -> float:
            return self[3]

    monkeypatch.setattr(machine, "_cores", lambda: [0])
    monkeypatch.setattr(cgroup, "_MOUNT", Path("nowhere"))
    readings = iter([Times((0, 0, 0, 0)), Times((1, 0, 0, 3))])
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [next(readings)])
    watched = Machine()
    found, cores = watched.read()
    assert found["cpu"] == 25 and cores == [25] and "iowait" not in found


def test_limits_of_a_container_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path)
    monkeypatch.setattr(machine, "_cores", lambda: [0, 1, 2, 3])
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1000000\n")
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100\n")
    watched = Machine()
    time.sleep(0.1)
    (tmp_path / "cpu.stat").write_text("usage_usec 1075000\n")  # half a core, or less if we were late
    found, _ = watched.read()
    assert found["memory"] == 50
    assert 0 < found["cpu"] <= 51
