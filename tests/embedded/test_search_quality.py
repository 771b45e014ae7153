"""The figures of `benchmarks/search.py`: searches in simulated time over real learning curves."""

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest

from benchmarks import search
from benchmarks.search import Table


@pytest.fixture(scope="module")
def table() -> Table:
    return Table()


def test_the_table_at_its_own_points(table: Table) -> None:
    with np.load(search.CURVES) as file:
        right, scored, lr, decay = (file[name] for name in ("right", "scored", "lr", "weight_decay"))
    assert search.CURVES.stat().st_size < 300_000
    point = {"batch_size": "128", "smoothing": "0.1", "optimizer": "sgd"}
    for i, j in ((0, 0), (3, 2), (len(lr) - 1, len(decay) - 1)):
        curve = table.curve({"lr": repr(float(lr[i])), "weight_decay": repr(float(decay[j])), **point})
        best = np.maximum.accumulate(right[i, j, 1, 1, 0]) / scored * 100
        assert curve == pytest.approx(best.tolist())
    between = table.curve({"lr": repr(float(np.sqrt(lr[3] * lr[4]))), "weight_decay": "0.01", **point})
    ends = [right[i, 2, 1, 1, 0, 0] / scored * 100 for i in (3, 4)]
    assert between[0] == pytest.approx(sum(ends) / 2)


def test_simulated_time(table: Table) -> None:
    """No more trials at a time than asked for, and every one to its end."""
    run = search.simulate(search.ours(table, "Random", 0, trials=6), table, parallel=4)
    assert len(run.best) == 6 * table.epochs and run.best == sorted(run.best)
    assert run.best[-1] == max(table.curve(one)[-1] for one in run.suggested)
    alone = search.simulate(search.ours(table, "Random", 0, trials=6), table, parallel=1)
    assert alone.suggested == run.suggested and alone.best[-1] == run.best[-1]


@pytest.mark.slow
def test_bayesian_suggests_what_optuna_suggests(table: Table) -> None:
    assert search.identical(table, range(5), parallel=1) == 1.0
    assert search.identical(table, range(5), parallel=4) == 1.0


@pytest.mark.accept
def test_bayesian_is_as_good_as_optuna(table: Table) -> None:
    seeds = range(100)
    mine = search.finals(lambda seed: search.ours(table, "Bayesian", seed), table, seeds)
    peer = search.finals(lambda seed: search.Direct(table, seed + search.OTHER_SEEDS), table, seeds)
    _, high = search.apart(mine, peer)
    assert high >= 0


@pytest.mark.accept
def test_hyperband_needs_fewer_epochs_than_random(
    table: Table, record_property: pytest.RecordProperty
) -> None:
    found = search.Halving(table, range(200))
    record_property("figure", found.share())
    assert found.share() <= search.MOST_EPOCHS
    assert fmean(run.best[-1] for run in found.hyperband) > fmean(run.best[-1] for run in found.random)
