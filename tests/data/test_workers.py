"""Worker processes: deaf to signals meant for the main process, and gone when it ends."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from typing import Any

import psutil
import pytest

from sweepmaker.data import ImageDataModule

# One process imports everything, then each way to end is tried in a fork of it.
PROGRAM = """
import os, sys
from sweepmaker.data import ImageDataModule

def end():
    data = ImageDataModule(source="digits", image_size=8, batch_size=4, seed=0, num_workers=2)
    data.setup()
    globals().update(loader=data.train_dataloader())
    globals().update(batches=iter(loader))
    next(batches)
    print(*[worker.pid for worker in loader._iterator._workers], flush=True)
    exec(way)

for way in {ways}:
    child = os.fork()
    if not child:
        end()
        break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("code", code, flush=True)
"""
WAYS = {
    "pass": 0,
    "raise RuntimeError('expected')": 1,
    "os.kill(os.getpid(), 9)": -9,
}


@pytest.mark.slow
def test_no_worker_outlives_the_main_process_however_it_ends() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(ways=list(WAYS))],
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
        check=False,
    )
    assert "killed by signal" not in done.stderr
    lines = done.stdout.splitlines()
    assert [int(line.split()[1]) for line in lines[1::2]] == list(WAYS.values()), done.stderr
    for line in lines[::2]:
        assert len(line.split()) == 2
        assert all(_ends(int(pid)) for pid in line.split())


def _ends(pid: int) -> bool:
    """Whether a worker is gone; after SIGKILL of its parent it notices within five seconds."""
    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            process.wait(timeout=20)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


def test_they_end_with_a_loader_that_is_part_of_a_garbage_cycle() -> None:
    data = ImageDataModule(source="digits", image_size=8, batch_size=4, seed=0, num_workers=1)
    data.setup()
    gc.collect()
    before = set(multiprocessing.active_children())  # of loaders that other tests still have
    batches = iter(data.train_dataloader())
    assert len(next(batches)) == len(next(batches)) == 2  # nobody but its iterator has the loader
    (worker,) = set(multiprocessing.active_children()) - before
    cycle: list[Any] = [batches]
    cycle.append(cycle)
    del batches, cycle
    gc.collect()
    assert not worker.is_alive()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_do_not_reach_the_workers(number: signal.Signals) -> None:
    data = ImageDataModule(source="digits", image_size=8, batch_size=4, seed=0, num_workers=2)
    data.setup()
    loader = data.train_dataloader()
    batches = iter(loader)
    for _ in range(2):  # one of each worker: both are up, and past their first instructions
        next(batches)
    for worker in loader._iterator._workers:  # type: ignore[union-attr]
        assert worker.pid is not None
        os.kill(worker.pid, number)
    assert sum(1 for _ in batches) == len(loader) - 2
