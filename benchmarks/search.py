"""How well the embedded server's search does, in simulated time over real learning curves.

The trials are points of `curves.npz` (made by `make_curves.py`; between its points, interpolated). A
trial takes as long as its epochs, an epoch as long as its batch size makes it, and so many trials run
at a time. The objective is the best accuracy so far, as a trial of ours reports it.

Bayesian search is compared with Optuna used directly, Hyperband with Random. All intervals are of the
mean over seeds, 95 %, by resampling the seeds (bootstrap).

    python benchmarks/search.py
"""

from __future__ import annotations

import bisect
import heapq
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import optuna

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks.timing import Ratio, Report, finish
from benchmarks.timing import parser as make_parser
from launchers.embedded.search import Range, Search, Spec

CURVES = Path(__file__).with_name("curves.npz")
TRIALS = 30  # of each search that runs its trials to their end
PARALLEL = 4
OTHER_SEEDS = 1000  # Optuna's own, where it is not to have the same ones
MOST_EPOCHS = 0.4  # of Random's, for Hyperband to be as good
HYPERBAND_TRIALS = 400  # more than it needs for as many epochs as Random has

IntArray = npt.NDArray[np.int64]


class Table:
    """The learning curves, and how long an epoch takes."""

    def __init__(self, path: Path = CURVES) -> None:
        with np.load(path) as file:
            self._axes: dict[str, Any] = {
                name: file[name] for name in ("lr", "weight_decay", "batch_size", "smoothing", "optimizer")
            }
            self._accuracy = file["right"] / float(file["scored"])
            self._seconds = dict(zip(map(str, file["batch_size"]), file["seconds"], strict=True))
        self.epochs = self._accuracy.shape[-1]

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """What is searched: the table from end to end."""
        numbers = [
            Range(name, "continuous", float(self._axes[name][0]), float(self._axes[name][-1]), "log")
            for name in ("lr", "weight_decay")
        ]
        choices = [Range(name, "categorical", values=self.choices(name)) for name in list(self._axes)[2:]]
        return (*numbers, *choices)

    def choices(self, name: str) -> tuple[str, ...]:
        """The values of a categorical hyperparameter, as they are sent."""
        return tuple(map(str, self._axes[name]))

    def curve(self, parameters: dict[str, str]) -> list[float]:
        """The best accuracy so far after each epoch, in percent."""
        place = tuple(self.choices(name).index(parameters[name]) for name in list(self._axes)[2:])
        found = self._accuracy[(slice(None), slice(None), *place)]
        for name in ("lr", "weight_decay"):  # along the first axis that is left
            where = np.interp(
                np.log(float(parameters[name])), np.log(self._axes[name]), np.arange(len(self._axes[name]))
            )
            low = min(int(where), len(found) - 2)
            found = found[low] * (low + 1 - where) + found[low + 1] * (where - low)
        curve: list[float] = (100 * np.maximum.accumulate(found)).tolist()
        return curve

    def seconds(self, parameters: dict[str, str]) -> float:
        """Of one epoch."""
        return float(self._seconds[parameters["batch_size"]])


class Tuner(Protocol):
    """As `Search`."""

    def ask(self) -> tuple[int, dict[str, str]] | None: ...
    def report(self, number: int, resource: int, value: float) -> bool: ...
    def tell(self, number: int, value: float | None) -> None: ...


class Direct:
    """Optuna as someone would use it for the same, with its own settings."""

    def __init__(self, table: Table, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._table = table
        self._trials: list[optuna.Trial] = []
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(sampler=sampler, direction="maximize")

    def ask(self) -> tuple[int, dict[str, str]] | None:
        if len(self._trials) == TRIALS:
            return None
        trial = self._study.ask()
        self._trials.append(trial)
        for one in self._table.ranges:
            if one.kind == "categorical":
                trial.suggest_categorical(one.name, one.values)
            else:
                assert one.low is not None and one.high is not None
                trial.suggest_float(one.name, one.low, one.high, log=True)
        return trial.number, {name: str(value) for name, value in trial.params.items()}

    def report(self, number: int, resource: int, value: float) -> bool:
        return False

    def tell(self, number: int, value: float | None) -> None:
        self._study.tell(self._trials[number], value)


@dataclass
class Run:
    """What came of a search."""

    suggested: list[dict[str, str]] = field(default_factory=list)
    best: list[float] = field(default_factory=list)  # of all trials, after each epoch of any of them


def simulate(tuner: Tuner, table: Table, parallel: int, most_epochs: int | None = None) -> Run:
    """Run a search to its end, or for so many epochs, with ``parallel`` trials at a time."""
    run = Run()
    curves: dict[int, list[float]] = {}
    events: list[tuple[float, int, int]] = []  # when, of which trial, which epoch

    def start(now: float) -> None:
        if (asked := tuner.ask()) is not None:
            number, parameters = asked
            run.suggested.append(parameters)
            curves[number] = table.curve(parameters)
            heapq.heappush(events, (now + table.seconds(parameters), number, 1))

    for _ in range(parallel):
        start(0.0)
    while events and len(run.best) != most_epochs:
        now, number, epoch = heapq.heappop(events)
        value = curves[number][epoch - 1]
        run.best.append(max(value, run.best[-1] if run.best else value))
        if tuner.report(number, epoch, value) or epoch == table.epochs:
            tuner.tell(number, value)
            start(now)
        else:
            seconds = table.seconds(run.suggested[number])
            heapq.heappush(events, (now + seconds, number, epoch + 1))
    return run


def ours(table: Table, strategy: str, seed: int, trials: int = TRIALS, *, early: bool = False) -> Search:
    """The embedded server's search."""
    longest = table.epochs if strategy == "Hyperband" else None
    return Search(
        Spec(strategy, table.ranges, True, trials, seed=seed, early_stopping=early, max_resource=longest)
    )


def interval(count: int, figure: Callable[[IntArray], float], repeats: int) -> tuple[float, float]:
    """95 % of what a figure of so many seeds comes to, with as many drawn from them."""
    source = np.random.default_rng(0)
    drawn = [figure(source.integers(count, size=count)) for _ in range(repeats)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def identical(table: Table, seeds: Sequence[int], parallel: int) -> float:
    """The share of seeds with which Bayesian search suggests exactly what Optuna does."""
    same = [
        simulate(ours(table, "Bayesian", seed), table, parallel).suggested
        == simulate(Direct(table, seed), table, parallel).suggested
        for seed in seeds
    ]
    return statistics.fmean(same)


def finals(make: Callable[[int], Tuner], table: Table, seeds: Sequence[int]) -> list[Run]:
    """One run with each seed, of trials side by side."""
    return [simulate(make(seed), table, PARALLEL) for seed in seeds]


def apart(mine: Sequence[Run], peer: Sequence[Run]) -> tuple[float, float]:
    """The interval of the mean difference of the final bests, seed by seed, in percentage points."""
    each = np.array([a.best[-1] - b.best[-1] for a, b in zip(mine, peer, strict=True)])
    return interval(len(each), lambda drawn: float(each[drawn].mean()), 10_000)


class Halving:
    """Hyperband against Random, over seeds: how soon it is as good as Random's final best on average.

    With a seed that does not get there in as many epochs as Random has, it counts as all of them.
    """

    def __init__(self, table: Table, seeds: Sequence[int]) -> None:
        self.total = TRIALS * table.epochs
        self.random = finals(lambda seed: ours(table, "Random", seed), table, seeds)
        self.hyperband = [
            simulate(ours(table, "Hyperband", seed, HYPERBAND_TRIALS), table, PARALLEL, self.total)
            for seed in seeds
        ]
        self._every = np.arange(len(seeds))
        self._finals = np.array([run.best[-1] for run in self.random])

    def epochs(self, seeds: IntArray | None = None) -> list[int]:
        """Hyperband's of all trials together, by seed; ``seeds`` are numbers of some, one may come twice."""
        chosen = self._every if seeds is None else seeds
        goal = self._finals[chosen].mean()
        taken = [bisect.bisect_left(self.hyperband[seed].best, goal) + 1 for seed in chosen]
        return [min(epochs, self.total) for epochs in taken]

    def share(self, seeds: IntArray | None = None) -> float:
        """Of Random's epochs, the mean."""
        return float(statistics.fmean(self.epochs(seeds)) / self.total)

    @property
    def misses(self) -> int:
        """With how many seeds it did not get there."""
        return sum(run.best[-1] < self._finals.mean() for run in self.hyperband)


def compare_with_optuna(report: Report, table: Table, seeds: Sequence[int]) -> None:
    """Bayesian search: the same suggestions one at a time, as good side by side."""
    report.ratios.append(
        Ratio(f"share of {len(seeds)} seeds with Optuna's own suggestions, one trial at a time",
              identical(table, seeds, 1), 1.0)
    )  # fmt: skip
    mine = finals(lambda seed: ours(table, "Bayesian", seed), table, seeds)
    cut = finals(lambda seed: ours(table, "Bayesian", seed, early=True), table, seeds)
    same = finals(lambda seed: Direct(table, seed), table, seeds)
    other = finals(lambda seed: Direct(table, seed + OTHER_SEEDS), table, seeds)
    for name, runs in (
        ("Bayesian", mine),
        ("Bayesian, early stopping", cut),
        ("Optuna, same seeds", same),
        ("Optuna, other seeds", other),
    ):
        report.add(f"{name}: final best, %", [run.best[-1] for run in runs])
    report.add("Bayesian, early stopping: epochs", [float(len(run.best)) for run in cut])
    for name, peer in (("the same", same), ("other", other)):
        low, high = apart(mine, peer)
        about = f"percentage points: upper end of the interval {low:+.3f} to {high:+.3f}"
        report.ratios.append(
            Ratio(f"{about} of Bayesian - Optuna with {name} seeds, {PARALLEL} trials at a time", high, 0.0)
        )


def compare_with_random(report: Report, table: Table, seeds: Sequence[int]) -> None:
    """Hyperband: as good as Random, after how many epochs."""
    found = Halving(table, seeds)
    report.add("Random: final best, %", [run.best[-1] for run in found.random])
    report.add("Hyperband: best after as many epochs, %", [run.best[-1] for run in found.hyperband])
    report.add("Random: epochs", [float(len(run.best)) for run in found.random])
    report.add("Hyperband: epochs to Random's mean", [float(count) for count in found.epochs()])
    low, high = interval(len(seeds), found.share, 1000)
    name = (
        f"Hyperband's epochs to Random's mean final best / Random's epochs, interval {low:.3f} to {high:.3f}"
    )
    report.ratios.append(Ratio(f"{name}, never: {found.misses}", found.share(), MOST_EPOCHS, at_most=True))


def main() -> None:
    parser = make_parser(__doc__, repeats=200)
    parser.add_argument(
        "--first-seed", type=int, default=0, help="of so many as there are repeats (%(default)s)"
    )
    parser.add_argument("--curves", type=Path, default=CURVES, help="another table of make_curves.py")
    options = parser.parse_args()
    table = Table(options.curves)
    seeds = range(options.first_seed, options.first_seed + options.repeats)
    report = Report(
        f"{TRIALS} trials of {table.epochs} epochs, {PARALLEL} at a time, {len(seeds)} seeds", "see the row"
    )
    compare_with_optuna(report, table, seeds)
    compare_with_random(report, table, seeds)
    finish(report, options)


if __name__ == "__main__":
    main()
