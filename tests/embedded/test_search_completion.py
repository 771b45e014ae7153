"""When a tuning job is complete, and what ended trials mean to it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from launchers.embedded.search import Range, Search, Spec

X = (Range("x", "continuous", 0.0, 1.0),)


def search(jobs: int = 100, *, strategy: str = "Random", maximize: bool = True, **criteria: Any) -> Search:
    return Search(Spec(strategy, X, maximize, jobs, seed=0, **criteria))


def ended_after(one: Search, values: list[float | None]) -> tuple[int, str] | None:
    """How many trials were told until the job was complete, and why."""
    for count, value in enumerate(values, 1):
        asked = one.ask()
        assert asked is not None
        one.tell(asked[0], value)
        if (reason := one.ended()) is not None:
            return count, reason
    return None


@pytest.mark.parametrize(
    ("maximize", "values", "count"),
    [
        (True, [0.5, 0.89, 0.9, 0.1], 3),
        (True, [0.5, 0.95], 2),
        (True, [0.5, 0.89], None),
        (False, [1.0, 0.91, 0.9, 2.0], 3),
        (False, [1.0, 0.2], 2),
        (False, [1.0, 0.91], None),
        (True, [None, 0.9], 2),
        (False, [None, float("-inf")], None),
        (True, [float("inf"), float("nan")], None),
    ],
)
def test_the_target(maximize: bool, values: list[float | None], count: int | None) -> None:
    ended = ended_after(search(maximize=maximize, target=0.9), values)
    assert ended is None if count is None else ended is not None and ended[0] == count
    assert ended is None or "0.9" in ended[1]


@pytest.mark.parametrize(("maximize", "sign"), [(True, 1), (False, -1)])
@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([0.5, 0.4, 0.3, 0.2], 4),
        ([0.5, 0.504, 0.503, 0.501], 4),  # better, but by less than 1 %
        ([0.5, 0.4, 0.3, 0.505, 0.1, 0.1], None),
        ([0.5, 0.4, 0.3, 0.505, 0.1, 0.1, 0.1], 7),
        ([0.5, None, None, None, 0.4, 0.4], None),  # failed ones count for nothing
        ([0.5, None, 0.4, None, 0.4, 0.4], 6),
        ([-0.5, -0.51, -0.495, -0.6, -0.6, -0.6], 6),  # below zero too, 1 % is 1 % towards better
        ([0.0, 0.0, 1e-9, 0.0, 0.0], None),  # of nothing, anything is more
        ([0.0, 0.0, 0.0, 0.0], 4),
    ],
)
def test_not_improving(maximize: bool, sign: int, values: list[float | None], count: int | None) -> None:
    told = [None if value is None else sign * value for value in values]
    ended = ended_after(search(maximize=maximize, not_improving=3), told)
    assert (ended and ended[0]) == count
    assert ended is None or "last 3" in ended[1]


def test_many_small_steps_are_improvements_over_the_best_one_only() -> None:
    """0.5 % each time is no improvement over the best one before, however far they lead."""
    values: list[float | None] = [1.005**step for step in range(10)]
    assert ended_after(search(not_improving=5), values) == (
        6,
        "the last 5 training jobs did not improve the objective by 1 %",
    )


def test_convergence() -> None:
    flat: list[float | None] = [0.5] * 30
    ended = ended_after(search(on_convergence=True), flat)
    assert ended is not None and ended[0] == 11 and "converged" in ended[1]
    rising: list[float | None] = [1.02**step for step in range(15)]
    ended = ended_after(search(on_convergence=True), rising + flat)
    assert ended is not None and ended[0] == 30  # the 14 last ones are not half of 29
    assert ended_after(search(), flat) is None


def test_complete_stays_complete() -> None:
    one = search(target=0.9)
    assert ended_after(one, [0.9]) is not None
    reason = one.ended()
    assert one.ask() is not None  # whether another one begins is the conductor's to say
    one.tell(1, 0.1)
    assert one.ended() == reason


def test_no_more_than_the_jobs_asked_for() -> None:
    one = search(jobs=3)
    assert [asked and asked[0] for asked in (one.ask() for _ in range(5))] == [0, 1, 2, None, None]
    assert one.ended() is None


@pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Hyperband"])
def test_failed_trials_and_odd_numbers(strategy: str) -> None:
    """Nothing that a trial can do stops the others."""
    one = search(40, strategy=strategy, early_stopping=strategy != "Hyperband", max_resource=9)
    source = random.Random(0)
    odd = [float("nan"), float("inf"), float("-inf"), 1e308, -1e308, 0.0, 5e-324]
    while (asked := one.ask()) is not None:
        for epoch in range(1, 10):
            one.report(asked[0], epoch, source.choice([*odd, source.random()]))
        one.tell(asked[0], source.choice([*odd, None, source.random()]))
    assert asked is None


def test_all_failed() -> None:
    one = search(20, strategy="Bayesian", not_improving=3, on_convergence=True, target=0.5)
    assert ended_after(one, [None] * 20) is None
    assert one.ask() is None


def test_a_trial_ends_once() -> None:
    """After a restart, the server may tell again what it had told."""
    one, once = (search(30, strategy="Bayesian", not_improving=3) for _ in range(2))
    for value in range(12):
        asked = one.ask()
        assert asked is not None and asked == once.ask()
        one.tell(asked[0], float(value))
        one.tell(asked[0], None)
        one.tell(asked[0], -100.0)
        assert not one.report(asked[0], 5, 0.1)
        once.tell(asked[0], float(value))
    assert one.ended() is None and one.ask() == once.ask()


def test_a_cut_trial_counts_for_less_than_one_that_ended() -> None:
    """What it had at its last epoch is not what the others had at theirs."""
    found = []
    for cut in (True, False):
        one = search(40, strategy="Bayesian", early_stopping=cut)
        for _ in range(20):
            asked = one.ask()
            assert asked is not None
            x = float(asked[1]["x"])
            stopped = one.report(asked[0], 1, x)
            one.tell(asked[0], 2.0 - x if stopped else x)  # cut where x is low, with the higher values
        rest = [float(asked[1]["x"]) for asked in iter(one.ask, None)]
        found.append(sum(rest) / len(rest))
    assert found[0] > 0.6
