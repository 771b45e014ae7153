"""All that is known of a run's time and machine, in bounded memory; kept in ``profiler/series.json``."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sweepmaker.profiler.clock import NO_STEP, Row
from sweepmaker.profiler.machine import CHANNELS
from sweepmaker.profiler.outliers import Outliers
from sweepmaker.profiler.phases import PHASES, STEP
from sweepmaker.profiler.series import LIMIT, Floats, Histogram, Series, duration_bins, percent_bins
from sweepmaker.profiler.settings import Settings
from sweepmaker.run import atomic

VERSION = 1
FOLDER = "profiler"  # of a run folder
OPERATORS = "operators.json"  # in it, where they were recorded
STEP_CHANNELS = (*PHASES, "step", "images")
_STARTS = 100  # processes of a run whose starts are kept one by one
_CORE_BUCKETS = 128  # of the heat map: there may be a hundred cores


def node_folder(node: int) -> str:
    """Where in a profile's folder a machine of the run but the first leaves its own profile."""
    return f"node-{node}"


class Profile:
    """The samples and steps of one run, its earlier processes included.

    Args:
        settings: which windows and thresholds are looked at.
        cores: numbers of the cores that are sampled.
        gpus: how many GPUs are sampled.
        facts: what the rules have to know of the run (`sweepmaker.profiler.facts`).

    Attributes:
        system: channels of `machine.CHANNELS`, and ``gpuK``, ``gpuK_memory`` in percent.
        cores: percent of each core.
        steps: seconds of each phase, ``step`` (their sum without validation and checkpoints), ``images``.
        loads: how often which percentage was read, while training.
        durations: of steps and of their data wait; those after an epoch's begin, a validation or a
            checkpoint left out.
        totals: seconds in each phase.
        phases_of_run: seconds before the first step, of training, after the last step; of all processes
            of this run, one after the other.
        starts: seconds before the first step, of each of these processes.
        rules: what the scans found, by rule.
    """

    def __init__(
        self,
        settings: Settings,
        cores: Sequence[int] = (),
        gpus: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.facts: dict[str, Any] = dict(facts or {})
        self.gpus = [f"gpu{number}" for number in range(gpus)]
        memory = [f"{name}_memory" for name in self.gpus]
        self.system = Series([*CHANNELS, *self.gpus, *memory])
        self.cores = Series([f"cpu{number}" for number in cores], _CORE_BUCKETS)
        self.steps = Series(STEP_CHANNELS)
        self.loads = Histogram(["cpu", "run_cpu", "iowait", "memory", *self.gpus, *memory], percent_bins())
        self.durations = Histogram(["step", "data_wait"], duration_bins())
        self.outliers = Outliers(settings.rules.get("StepOutlier"))
        self.totals = np.zeros(len(PHASES))
        self.count = 0  # steps
        self.images = 0
        self.before = {"initialisation": 0.0, "training": 0.0, "finalisation": 0.0}  # earlier processes
        self.phases_of_run = dict(self.before)
        self.starts_before: list[float] = []
        self.starts: list[float] = []
        self.ranks: list[dict[str, float]] = []
        self.together: dict[str, dict[str, int]] = {}  # samples in which two things held, by rule
        self.rules: dict[str, dict[str, Any]] = {}
        self.failed: set[str] = set()  # rules that raised, and said so
        self.unwatched: str | None = None  # why not all of the run was watched
        self.recent: deque[tuple[float, dict[str, float]]] = deque(maxlen=self._longest())

    def _longest(self) -> int:
        seconds = max((float(rule.get("window_s", 0)) for rule in self.settings.rules.values()), default=0.0)
        return int(2 * seconds / self.settings.sample_s) + 2  # two windows side by side

    # --- what comes in

    def add_sample(
        self,
        time: float,
        found: Mapping[str, float],
        cores: Sequence[float],
        gpus: Sequence[Any],
        *,
        training: bool,
    ) -> None:
        """One reading of the machine.

        Args:
            time: seconds since the run began.
            found: channel to value, as far as they could be read.
            cores: percent of each core.
            gpus: (utilisation, memory) in percent, or None for what could not be read.
            training: the first step has begun: only then the rules are interested.
        """
        values = dict(found)
        for name, (busy, memory) in zip(self.gpus, gpus, strict=False):
            if busy is not None:
                values[name] = busy
            if memory is not None:
                values[f"{name}_memory"] = memory
        self.system.add(time, np.array([values.get(name, np.nan) for name in self.system.names]))
        if len(cores) == len(self.cores.names):
            self.cores.add(time, np.array(cores))
        if not training:
            return
        self.recent.append((time, values))
        for name in self.loads.names:
            if name in values:
                self.loads.add(name, np.array([values[name]]))
        self._count_together(values, max(cores, default=None))

    def _count_together(self, values: Mapping[str, float], cpu_max: float | None) -> None:
        busy = [values[name] for name in self.gpus if name in values]
        if not busy:
            return
        for rule, channel in (("CPUBottleneck", "cpu"), ("IOBottleneck", "iowait")):
            asked = self.settings.rules.get(rule)
            if asked is None or channel not in values:
                continue
            load = values[channel]
            if asked.get("cpu_mode") == "any":
                highest = cpu_max if rule == "CPUBottleneck" else values.get("iowait_max")
                load = load if highest is None else highest
            low = min(busy) < asked["gpu_threshold"]
            high = load > asked["cpu_threshold" if rule == "CPUBottleneck" else "io_threshold"]
            counts = self.together.setdefault(rule, {"samples": 0, "low_gpu": 0, "both": 0})
            counts["samples"] += 1
            counts["low_gpu"] += low
            counts["both"] += low and high

    def add_steps(self, time: float, rows: Sequence[Row]) -> None:
        """The steps since the last call, as the step clock cut them."""
        if not rows:
            return
        phases = np.array([row[0] for row in rows])
        self.totals += phases.sum(axis=0)
        real = np.array([row[1] != NO_STEP for row in rows])
        if not real.any():
            return
        phases, rows = phases[real], [row for row in rows if row[1] != NO_STEP]
        images = np.array([float(row[1]) for row in rows])
        step = phases[:, STEP].sum(axis=1)
        values = np.column_stack([phases, step, images])
        self.steps.add(time, values.min(axis=0), values.max(axis=0), values.sum(axis=0), len(values))
        usual = ~np.array([row[2] for row in rows])
        self.durations.add("step", step[usual])
        self.durations.add("data_wait", phases[usual, PHASES.index("data_wait")])
        self.outliers.add(
            time, self.count + np.flatnonzero(usual), step[usual], phases[usual], self.durations
        )
        self.count += len(rows)
        self.images += int(images.sum())

    # --- what the rules ask

    def window(self, channel: str, seconds: float) -> Floats:
        """Values of the last ``seconds`` of training: float64 [n]."""
        if not self.recent:
            return np.empty(0)
        end = self.recent[-1][0]
        return np.array([values[channel] for time, values in self.recent
                         if channel in values and time > end - seconds])  # fmt: skip

    @property
    def samples(self) -> int:
        """Readings while training, whichever counters this machine has."""
        return max(self.loads.count(name) for name in self.loads.names)

    @property
    def others(self) -> float:
        """Percent of the usable cores that other programs used while this run trained (median)."""
        if not self.loads.count("run_cpu") or not self.loads.count("cpu"):
            return 0.0
        return max(0.0, self.loads.quantile("cpu", 0.5) - self.loads.quantile("run_cpu", 0.5))

    @property
    def watched_s(self) -> float:
        """Seconds of training that were sampled."""
        return self.samples * self.settings.sample_s

    @property
    def training_s(self) -> float:
        """Seconds of all phases but validation and checkpoints."""
        return float(self.totals[list(STEP)].sum())

    def share(self, phase: str) -> float:
        """Of the training's seconds (validation and checkpoints left out), in [0, 1]."""
        return float(self.totals[PHASES.index(phase)]) / self.training_s if self.training_s else 0.0

    def gain(self, seconds: float) -> float:
        """How many times as fast all of training, validation and checkpoints would be without these."""
        total = float(self.totals.sum())
        return total / max(total - seconds, total / 20) if total else 1.0

    def take_times(self, initialisation: float, training: float, finalisation: float) -> None:
        """Seconds of this process so far; those of earlier ones are added."""
        mine = {"initialisation": initialisation, "training": training, "finalisation": finalisation}
        self.phases_of_run = {name: self.before[name] + mine[name] for name in mine}
        self.starts = [*self.starts_before, initialisation]

    @property
    def earlier_s(self) -> float:
        """Seconds of the earlier processes of this run: its time goes on where they stopped."""
        return sum(self.before.values())

    @property
    def seconds(self) -> float:
        """Of the whole run so far."""
        return sum(self.phases_of_run.values())

    # --- kept between processes

    def save(self, path: Path) -> None:
        """Write everything, so that a reader sees a whole file while the run goes on."""
        content = {
            "version": VERSION,
            "preset": self.settings.preset,
            "sample_s": self.settings.sample_s,
            "phases_of_run": self.phases_of_run,
            "starts": self.starts[-_STARTS:],
            "split": dict(zip(PHASES, self.totals.tolist(), strict=True)),
            "count": self.count,
            "images": self.images,
            "facts": atomic.finite(self.facts),
            "rules": atomic.finite(self.rules),
            "together": self.together,
            "outliers": self.outliers.as_dict(),
            "loads": self.loads.as_dict(),
            "durations": self.durations.as_dict(),
            "system": self.system.as_dict(),
            "cores": self.cores.as_dict(),
            "steps": self.steps.as_dict(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        # without indent: that is the difference between the C encoder and a slow one
        text = json.dumps(content, separators=(",", ":"), default=str, allow_nan=False)
        atomic.write_text(path, text + "\n")

    def load(self, path: Path) -> None:
        """Go on from what an earlier process of this run wrote.

        Raises:
            OSError, ValueError, LookupError, TypeError, AttributeError: it cannot be read; nothing was
                changed then.
        """
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["version"] != VERSION:
            raise ValueError(f"version {kept['version']}, this program reads {VERSION}")
        other = Profile(self.settings, facts=self.facts)
        other.gpus = self.gpus
        other.system = Series.of_dict(kept["system"], self.system.names)
        # the order of the columns is that of the earlier process: what comes in is looked up by name
        same_cores = kept["cores"]["names"] == self.cores.names
        other.cores = Series.of_dict(kept["cores"]) if same_cores else self.cores
        other.steps = Series.of_dict(kept["steps"])
        limits = (other.system, LIMIT), (other.cores, _CORE_BUCKETS), (other.steps, LIMIT)
        if other.steps.names != list(STEP_CHANNELS) or any(each.limit != most for each, most in limits):
            raise ValueError("series of another program")
        other.loads = Histogram(self.loads.names, percent_bins())
        other.loads.load(kept["loads"])
        other.durations.load(kept["durations"])
        other.outliers.load(kept["outliers"])
        other.totals = np.array([float(kept["split"][phase]) for phase in PHASES])
        other.count, other.images = int(kept["count"]), int(kept["images"])
        other.before = {name: float(kept["phases_of_run"][name]) for name in self.before}
        other.phases_of_run = dict(other.before)
        other.starts_before = [float(each) for each in kept.get("starts", [other.before["initialisation"]])]
        other.together = {
            str(rule): {name: int(counts[name]) for name in ("samples", "low_gpu", "both")}
            for rule, counts in kept["together"].items()
        }
        other.rules = {
            str(rule): {
                **{name: int(found[name]) for name in ("scans", "triggered", "violations")},
                "last": None if found["last"] is None else dict(found["last"]),
            }
            for rule, found in kept["rules"].items()
        }
        vars(self).update(vars(other))
