"""Interleaved repeats, medians and ratios: what every benchmark measures and prints with.

A shared machine is noisy, so the candidates take turns within each round, the ratio is the median
of the rounds' own ratios, and CPU time is measured instead of wall time where one thread works.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def interleave(candidates: Mapping[str, Callable[[], float]], *, repeats: int) -> dict[str, list[float]]:
    """Call each candidate once a round, in turns that rotate, and keep what it returns.

    Args:
        candidates: each does its work once and returns its figure (seconds, or images a second).
        repeats: rounds that count; one more, the warm-up, does not.
    """
    names = list(candidates)
    figures: dict[str, list[float]] = {name: [] for name in names}
    for round_ in range(repeats + 1):
        first = round_ % len(names)
        for name in names[first:] + names[:first]:
            figure = candidates[name]()
            if round_:
                figures[name].append(figure)
    return figures


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as ``peer`` we are (or, ``at_most``, how many times as slow)."""

    name: str
    value: float
    target: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target

    def __str__(self) -> str:
        sign = "<=" if self.at_most else ">="
        verdict = "met" if self.met else "MISSED"
        return f"ratio {self.value:.3f}  (target {sign} {self.target:g}: {verdict})  {self.name}"


def paired_ratio(above: list[float], below: list[float]) -> float:
    """Median over the rounds of ``above / below``."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


@dataclass
class Report:
    """A table of medians, the hardware, and the ratios as the last lines."""

    title: str
    unit: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[Ratio] = field(default_factory=list)

    def add(self, name: str, values: list[float]) -> None:
        """One row: the median of ``values``, and the lowest and highest one."""
        row = {"name": name, "median": statistics.median(values)}
        self.rows.append(row | {"lowest": min(values), "highest": max(values), "n": len(values)})

    def print(self) -> None:
        """Print the table, the hardware and the ratios to stdout."""
        print(f"\n{self.title}")
        width = max(len(row["name"]) for row in self.rows)
        print(f"{'':{width}}  {'median':>9}  {'lowest':>9}  {'highest':>9}   n  [{self.unit}]")
        for row in self.rows:
            figures = "  ".join(f"{row[key]:9.3f}" for key in ("median", "lowest", "highest"))
            print(f"{row['name']:{width}}  {figures}  {row['n']:2d}")
        print(hardware())
        for ratio in self.ratios:
            print(ratio, flush=True)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        content = {
            "date": date.today().isoformat(),
            "commit": commit(),
            "command": shlex.join(["python", *sys.argv]),
            "hardware": hardware(),
            **asdict(self),
        }
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def finish(report: Report, options: argparse.Namespace) -> None:
    """Print the report and, with ``--out``, write it."""
    report.print()
    if options.out:
        report.write(options.out)


def parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--repeats", type=int, default=repeats, help="rounds (%(default)s)")
    made.add_argument("--out", type=Path, help="also write the result to this JSON file")
    return made


def hardware() -> str:
    """CPU, cores and the load of the last minute, as one line."""
    name = "unknown CPU"
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        name = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), name)
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {python}"


def commit() -> str | None:
    """The checkout's commit, with a mark where files differ from it; None outside of one."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return found.stdout.strip() if found.returncode == 0 else None
