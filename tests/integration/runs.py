"""Real ``train.py`` processes for the tests: started, interrupted, killed, started again, compared."""

from __future__ import annotations

import csv
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

CHECKOUT = Path(__file__).resolve().parents[2]

# A network with dropout and batch norm, and few enough images that an epoch takes a second.
TINY = (
    "model.name=mobilenet_v3_small", "model.weights=none", "image_size=32", "batch_size=16",
    "data.limit.train=256", "data.limit.valid=64", "data.limit.test=64",
)  # fmt: skip


@dataclass
class Ended:
    """A process that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


def environment(**extra: str) -> dict[str, str]:
    """One thread, no GPU, and compiled imports whatever the caller's environment says."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **extra}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def train(*arguments: str, cwd: Path | None = None, timeout: float = 480, **env: str) -> Ended:
    """Run ``train.py`` to its end."""
    return script("train.py", *arguments, cwd=cwd, timeout=timeout, **env)


def script(name: str, *arguments: str, cwd: Path | None = None, timeout: float = 480, **env: str) -> Ended:
    """Run a script of the checkout to its end."""
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / name), *arguments],
        capture_output=True, text=True, cwd=cwd or CHECKOUT, timeout=timeout, env=environment(**env),
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def module(name: str, *arguments: str, cwd: Path, timeout: float = 240) -> Ended:
    """Run ``python -m NAME`` of the checkout to its end."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=timeout,
        env=environment(PYTHONPATH=str(CHECKOUT)), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def _started(arguments: list[str], stdout: int, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CHECKOUT / "train.py"), *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=cwd, env=environment(),
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def train_and_signal(arguments: list[str], signum: int, after_lines: int, delay: float, cwd: Path) -> Ended:
    """Run ``train.py``, and send ``signum`` ``delay`` seconds after its stderr has ``after_lines`` lines."""
    process = _started(arguments, subprocess.PIPE, cwd)
    assert process.stdout is not None and process.stderr is not None
    out: list[str] = []
    reader = threading.Thread(target=lambda: out.append(process.stdout.read()))  # type: ignore[union-attr]
    reader.start()
    timer: threading.Timer | None = None
    err: list[str] = []
    for line in process.stderr:
        err.append(line)
        if len(err) == after_lines:
            timer = threading.Timer(delay, process.send_signal, (signum,))
            timer.start()
    code = process.wait()
    if timer is not None:
        timer.cancel()
    reader.join()
    return Ended(code, "".join(out), "".join(err))


def kill_when(true: Callable[[], bool], arguments: list[str], cwd: Path) -> None:
    """Run ``train.py``, and kill it as soon as something is true of its folder, before it ends by itself."""
    process = _started(arguments, subprocess.DEVNULL, cwd)
    try:
        while process.poll() is None and not true():
            time.sleep(0.01)
    finally:
        process.kill()
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, err


def survive(
    folder: Path, arguments: list[str], signals: list[int], seed: int, cwd: Path
) -> tuple[Ended, list[Ended]]:
    """One run, ended by each of ``signals`` at a random moment and continued each time, to its end."""
    rng = random.Random(seed)
    broken: list[Ended] = []
    first = [*arguments, f"hydra.run.dir={folder}"]
    for signum in signals:
        again = (folder / ".hydra" / "overrides.yaml").exists()
        broken.append(
            train_and_signal(
                [f"resume={folder}"] if again else first,
                signum,
                rng.choice([1, 4, 5, 6, 7]),
                rng.uniform(0, 1.5),
                cwd,
            )
        )
        expected = {0, 128 + signum, -signum}
        assert broken[-1].code in expected, broken[-1].err
    again = (folder / ".hydra" / "overrides.yaml").exists()
    last = train(*([f"resume={folder}"] if again else first), cwd=cwd)
    assert last.code == 0, last.err
    return last, broken


def metrics(folder: Path) -> list[dict[str, str]]:
    """The rows of ``metrics.csv`` without the wall time, which no two runs share."""
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights at the end of a run."""
    loaded: dict[str, Any] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(loaded["state_dict"])


def assert_equal_runs(one: Path, other: Path) -> None:
    """Metrics and final weights of two runs are equal, bit for bit."""
    assert metrics(one) == metrics(other)
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


SIGTERM, SIGKILL, SIGINT = int(signal.SIGTERM), int(signal.SIGKILL), int(signal.SIGINT)
