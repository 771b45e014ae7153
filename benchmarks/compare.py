"""How long `compare.py` takes over 1,000 runs of 100 epochs, how large its page is, and what it needs.

The table against two ways of reading the same files: pandas, and the standard library's csv.DictReader,
both with run.json. Whole processes; the peak of memory once more with 40 times as many epochs.

    python benchmarks/compare.py
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import ONE_THREAD, ROOT, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser
from tests.compare.folders import make_sweep

RUNS, EPOCHS = 1000, 100
MEMORY_RUNS, MORE = 50, 40

PANDAS = """
import glob, json, os, sys
import pandas
rows = []
for file in glob.glob("multirun/*/*/run.json"):
    record = json.load(open(file))
    table = pandas.read_csv(os.path.join(os.path.dirname(file), "metrics.csv"))
    best = table[[name for name in table if "/" in name]].agg(["min", "max"])
    rows.append({"run": file, "lr": record["overrides"][0], "value": best.loc["max", "valid/top1"],
                 "last": table["valid/top1"].dropna().iloc[-1], "loss": best.loc["min", "valid/loss"]})
print(pandas.DataFrame(rows).sort_values("value").to_string())
"""
STANDARD = """
import csv, glob, json, os
rows = []
for file in glob.glob("multirun/*/*/run.json"):
    with open(file) as opened:
        record = json.load(opened)
    kept = {}
    with open(os.path.join(os.path.dirname(file), "metrics.csv"), newline="") as opened:
        for row in csv.DictReader(opened):
            for name, cell in row.items():
                if cell and "/" in name:
                    kept.setdefault(name, []).append(float(cell))
    rows.append((max(kept["valid/top1"]), kept["valid/top1"][-1], min(kept["valid/loss"]), file,
                 record["overrides"][0]))
for row in sorted(rows):
    print(*row)
"""


def whole(command: Sequence[str], cwd: Path) -> tuple[float, float, float]:
    """Wall time and CPU time of a process in seconds, and its peak of memory in MB."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], cwd=cwd, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def make(root: Path, runs: int, epochs: int) -> Path:
    """A folder with one sweep."""
    rng = random.Random(0)
    make_sweep(root / "multirun" / "sweep", [10 ** rng.uniform(-4, -1) for _ in range(runs)], epochs=epochs)
    return root


def main() -> None:
    options = make_parser(__doc__, repeats=5).parse_args()
    os.environ.update(ONE_THREAD)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    report = Report(f"{RUNS} runs of {EPOCHS} epochs", "s; MB where it says so")
    ours = str(ROOT / "compare.py")
    with tempfile.TemporaryDirectory() as folder:
        place = make(Path(folder, "many"), RUNS, EPOCHS)
        walls: dict[str, list[float]] = {"table": [], "page": []}

        def cpu(name: str, command: Sequence[str]) -> float:
            wall, seconds, _ = whole(command, place)
            if name in walls:
                walls[name].append(wall)
            return seconds

        work = {
            "table": [ours],
            "page": [ours, "html=page.html"],
            "pandas": ["-c", PANDAS],
            "csv.DictReader": ["-c", STANDARD],
        }
        seconds = interleave(
            {name: lambda n=name, c=command: cpu(n, c) for name, command in work.items()},  # type: ignore[misc]
            repeats=options.repeats,
        )
        for name, values in seconds.items():
            report.add(f"{name}: CPU time", values)
        for name, values in walls.items():
            report.add(f"{name}: wall time", values[1:])
        size = (place / "page.html").stat().st_size / 1e6
        report.add("page: MB", [size])
        few, many = (
            make(Path(folder, str(epochs)), MEMORY_RUNS, epochs) for epochs in (EPOCHS * 4, EPOCHS * MORE)
        )
        peaks = [[whole([ours, "html=page.html"], where)[2] for _ in range(2)] for where in (few, many)]
        report.add(f"peak memory, {MEMORY_RUNS} runs of {EPOCHS * 4} epochs: MB", peaks[0])
        report.add(f"peak memory, {MEMORY_RUNS} runs of {EPOCHS * MORE} epochs: MB", peaks[1])
    table, page = (statistics.median(walls[name][1:]) for name in ("table", "page"))
    report.ratios += [
        Ratio("table, CPU time against pandas", paired_ratio(seconds["table"], seconds["pandas"]), 0.5, True),
        Ratio("table, CPU time against csv.DictReader",
              paired_ratio(seconds["table"], seconds["csv.DictReader"]), 2, True),
        Ratio("memory with ten times the epochs", min(peaks[1]) / min(peaks[0]), 1.1, True),
        Ratio("table, wall time in s", table, 3, True),
        Ratio("page, wall time in s", page, 10, True),
        Ratio("page, MB", size, 10, True),
    ]  # fmt: skip
    finish(report, options)


if __name__ == "__main__":
    main()
