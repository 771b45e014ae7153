"""A sweep of `finetune=head` as one embedded tuning job, against the same trials as fresh processes.

Twelve trials (four learning rates, three batch sizes) of a head on EfficientNet-Lite2's real ImageNet
weights, on 5,000 real images of Fashion-MNIST at 96 px. Ours is `launch.py -m where=embedded` with nothing
kept from before: its time has the server's start, the features and the collecting in it. The peer is
`python train.py` once for each trial with data.cache=none, as many at a time. Wall time; both have all cores.

    python benchmarks/sweep.py
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish
from benchmarks.timing import parser as make_parser

LR, BATCH = ("1e-3", "3e-3", "1e-2", "3e-2"), ("32", "64", "128")
TARGET = 30.0
SETTINGS = [
    "data=fashion_mnist", "model=lite2", "model.finetune=head", "image_size=96",
    "data.stats={mean:[0.5,0.5,0.5],std:[0.5,0.5,0.5]}", "estimate=false",
    "data.augment.crop_scale=null", "data.augment.hflip=0",
    "data.limit.train=4000", "data.limit.valid=500", "data.limit.test=500",
]  # fmt: skip


Cell = tuple[float, int]
"""Learning rate and batch size."""


def ours(folder: Path, epochs: int, parallel: int) -> tuple[float, dict[Cell, float]]:
    """(seconds from the command line to the last result, objective of each trial)."""
    command = [
        "launch.py", "-m", *SETTINGS, f"epochs={epochs}",
        f"lr={','.join(LR)}", f"batch_size={','.join(BATCH)}", "where=embedded",
        f"job.max_parallel_jobs={parallel}", "job.include_untracked=true", "where.server.idle_s=30",
    ]  # fmt: skip
    since = time.perf_counter()
    done = _run(command, folder)
    seconds = time.perf_counter() - since
    told: dict[str, Any] = json.loads(done.splitlines()[-1])
    subprocess.run(
        [sys.executable, "-m", "launchers.embedded", "stop", "--root", str(folder / ".embedded")],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    if told["status"] != "Completed":
        raise SystemExit(f"the tuning job ended as {told['status']}")
    return seconds, dict(_objective(record) for record in (folder / told["folder"]).glob("*/run.json"))


def _objective(record: Path) -> tuple[Cell, float]:
    run: dict[str, Any] = json.loads(record.read_text())
    given = dict(override.split("=", 1) for override in run["overrides"])
    return (float(given["lr"]), int(given["batch_size"])), float(run["objective"]["value"])


def peers(folder: Path, epochs: int, parallel: int, count: int) -> tuple[float, dict[Cell, float]]:
    """(seconds of ``count`` trials, objective of each)."""
    cells = list(itertools.product(LR, BATCH))[:count]

    def one(number: int, lr: str, batch: str) -> tuple[Cell, float]:
        run = folder / str(number)
        words = [
            "data.cache=none",
            f"epochs={epochs}",
            f"lr={lr}",
            f"batch_size={batch}",
            f"hydra.run.dir={run}",
        ]
        _run(["train.py", *SETTINGS, *words], folder)
        return _objective(run / "run.json")

    since = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        values = dict(pool.map(lambda cell: one(cell[0], *cell[1]), enumerate(cells)))
    return time.perf_counter() - since, values


def _run(command: Sequence[str], cwd: Path) -> str:
    environment = {**os.environ, **ONE_THREAD, "XDG_CACHE_HOME": str(cwd / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # as installed, so that no side compiles at each start
    done = subprocess.run(
        [sys.executable, str(ROOT / command[0]), *command[1:]],
        cwd=cwd, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def main() -> None:
    parser = make_parser(__doc__, repeats=3)
    parser.add_argument("--epochs", type=int, default=30, help="of a trial (%(default)s)")
    parser.add_argument("--parallel", type=int, default=2, help="trials at a time (%(default)s)")
    total = len(LR) * len(BATCH)
    parser.add_argument("--peers", type=int, default=total, help="trials as fresh processes (%(default)s)")
    options = parser.parse_args()
    report = Report(f"{total} trials of finetune=head, {options.epochs} epochs each", "s of wall time")
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        times, jobs = [], []
        for number in range(options.repeats):
            (here / f"job-{number}").mkdir()
            seconds, objectives = ours(here / f"job-{number}", options.epochs, options.parallel)
            times.append(seconds)
            jobs.append(objectives)
        (here / "fresh").mkdir()
        alone, values = peers(here / "fresh", options.epochs, options.parallel, options.peers)
    fresh = alone * total / options.peers
    report.add("one embedded tuning job", times)
    report.add(f"fresh processes ({options.peers} of {total} run)", [fresh])
    middle = sorted(times)[len(times) // 2]
    report.ratios.append(Ratio("the tuning job / fresh processes, times sooner", fresh / middle, TARGET))
    difference = max(abs(objectives[cell] - value) for objectives in jobs for cell, value in values.items())
    name = f"largest difference of a trial's accuracy, {len(values)} trials"
    report.ratios.append(Ratio(name, difference, 0.0, at_most=True))
    finish(report, options)


if __name__ == "__main__":
    main()
