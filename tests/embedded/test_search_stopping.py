"""Which trials are cut short: the rungs of successive halving, and the median rule."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launchers.embedded.search import Range, Search, Spec

X = (Range("x", "continuous", 0.0, 1.0),)


def hyperband(
    low: int | None = 1, high: int | None = 27, *, maximize: bool = True, jobs: int = 100
) -> Search:
    """A search of which all trials were asked for."""
    spec = Spec("Hyperband", X, maximize, jobs, seed=0, min_resource=low, max_resource=high)
    return asked_for(Search(spec), jobs)


def median(*, maximize: bool = True, strategy: str = "Random") -> Search:
    return asked_for(Search(Spec(strategy, X, maximize, 50, seed=0, early_stopping=True)), 50)


def asked_for(search: Search, jobs: int) -> Search:
    for _ in range(jobs):
        assert search.ask() is not None
    return search


@pytest.mark.parametrize("maximize", [True, False])
def test_only_the_best_third_goes_on_from_a_rung(maximize: bool) -> None:
    search = hyperband(maximize=maximize)
    sign = 1 if maximize else -1
    values = [0.5, 0.4, 0.6, 0.1, 0.55, 0.58, 0.59]
    stops = [search.report(number, 1, sign * value) for number, value in enumerate(values)]
    #               first   worse  best   worse  of 5: 1  of 6: 2: third  of 7: 2: second
    assert stops == [False, True, False, True, True, False, False]


def test_rungs_are_three_times_apart() -> None:
    search = hyperband(low=2, high=54)
    for number, value in ((0, 0.9), (1, 0.1)):
        cut = [epoch for epoch in range(1, 60) if search.report(number, epoch, value)]
        assert cut[:1] == ([55] if number == 0 else [2])
    for rung in (2, 6, 18):  # a third trial that is best until then is judged at the next rung
        search = hyperband(low=2, high=54)
        for epoch in range(1, 55):
            assert not search.report(0, epoch, 0.5)
        cut = [epoch for epoch in range(1, 55) if search.report(1, epoch, 0.6 if epoch < rung else 0.4)]
        assert cut[0] == rung
    assert [search.report(2, epoch, 1.0) for epoch in (54, 55)] == [False, True]


def test_the_end_is_no_rung() -> None:
    """Who has come to the largest resource is done; nothing is saved by stopping it."""
    search = hyperband(high=9)
    for epoch in range(1, 10):
        assert not search.report(0, epoch, 0.9)
    for epoch in range(1, 9):
        assert not search.report(1, epoch, 1.0)
    assert not search.report(1, 9, 0.1)
    assert search.report(1, 10, 2.0)


def test_without_limits_of_the_resource() -> None:
    search = hyperband(low=None, high=None)
    for epoch in range(1, 2000):
        assert not search.report(0, epoch, 0.9)
    assert not search.report(1, 1, 0.95)
    assert next(epoch for epoch in range(2, 800) if search.report(1, epoch, 0.8)) == 3
    assert search.report(2, 1, 0.1)


def test_of_equal_ones_the_earlier_goes_on() -> None:
    """Diverged trials often have the same objective, that of guessing."""
    search = hyperband()
    assert [search.report(number, 1, 0.1) for number in range(6)] == [False, *[True] * 5]


def test_who_has_only_been_early_is_stopped_after_all() -> None:
    """Once twice as many are ahead at its last rung as may go on from there."""
    search = hyperband(low=2, high=54)
    assert [search.report(number, 2, value) for number, value in enumerate((0.5, 0.6))] == [False, False]
    assert not search.report(0, 3, 0.1)  # one is ahead; what it has between two rungs does not count
    assert not search.report(2, 2, 0.7)
    assert not search.report(1, 3, 0.1)
    assert search.report(0, 4, 0.9)  # two are ahead of 0.5
    assert search.report(3, 2, 0.65) and search.report(1, 4, 0.9)  # who was stopped counts too
    assert search.report(4, 2, 0.1)
    assert [search.report(number, 2, value) for number, value in ((5, 0.8), (6, 0.75))] == [False, False]
    assert not search.report(2, 3, 0.1)  # two are ahead, and of seven two may go on
    assert not search.report(2, 6, 0.1)  # the first at the next rung
    assert not search.report(5, 6, 0.3) and not search.report(2, 7, 0.9)
    assert not search.report(6, 6, 0.4) and search.report(2, 8, 0.9)


def test_reports_that_skip_rungs_are_judged_at_the_highest() -> None:
    search = hyperband()
    assert not search.report(0, 3, 0.5)
    assert not search.report(1, 1, 0.4)  # the first one was never seen at 1
    assert search.report(1, 4, 0.45)  # the rung at 3, late
    assert not search.report(2, 1, 0.9)
    assert not search.report(2, 9, 0.9)


def test_a_trial_is_not_held_against_itself() -> None:
    search = hyperband()
    assert not any(search.report(0, epoch, 1 / epoch) for epoch in range(1, 28))


def test_what_was_printed_again_changes_nothing() -> None:
    """A trial that was interrupted prints the epochs since its checkpoint again."""
    search = hyperband()
    assert not search.report(0, 3, 0.5)
    assert not search.report(0, 1, 0.1) and not search.report(0, 3, 0.1)
    assert search.report(1, 3, 0.4)
    assert search.report(1, 2, 0.9) and search.report(1, 4, 0.9)  # it stays cut
    assert not search.report(2, 3, 0.6)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_number_is_no_report(value: float) -> None:
    search = hyperband()
    assert not search.report(0, 1, value)
    assert not search.report(1, 1, 0.5)
    assert not search.report(0, 1, 0.6)  # the resource is still to come
    search = median()
    assert not search.report(0, 1, value)


@given(
    seed=st.integers(0, 2**32),
    low=st.integers(1, 5),
    high=st.none() | st.integers(5, 60),
    count=st.integers(1, 40),
)
@settings(deadline=None, max_examples=60)
def test_successive_halving(seed: int, low: int, high: int | None, count: int) -> None:
    """Nobody stops before the least resource, the best never, and of many few get far."""
    search = hyperband(low, high, jobs=count)
    source = random.Random(seed)
    worth = [source.random() for _ in range(count)]
    longest = high or 60
    reached = []
    for number in range(count):  # one after the other: what each is held against are all before it
        epochs = (epoch for epoch in range(1, longest + 1) if search.report(number, epoch, worth[number]))
        reached.append(next(epochs, longest))
        search.tell(number, worth[number])
    assert all(epoch >= low for epoch in reached)
    assert reached[worth.index(max(worth))] == longest
    assert all(epoch == longest or any(epoch == low * 3**power for power in range(5)) for epoch in reached)
    worst = worth.index(min(worth))
    assert worst == 0 or reached[worst] == min(low, longest)


def curve(search: Search, number: int, values: list[float]) -> list[bool]:
    stops = [search.report(number, epoch, value) for epoch, value in enumerate(values, 1)]
    search.tell(number, values[-1])
    return stops


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
@pytest.mark.parametrize("maximize", [True, False])
def test_median_of_running_averages(maximize: bool, strategy: str) -> None:
    """Developer guide: worse than the median of the earlier jobs' running averages up to the epoch."""
    search = median(maximize=maximize, strategy=strategy)
    sign = 1 if maximize else -1
    for number, values in enumerate(([0.1, 0.5], [0.2, 0.6], [0.3, 0.9])):  # averages 0.3, 0.4, 0.6
        assert not any(curve(search, number, [sign * value for value in values]))
    assert not search.report(3, 1, sign * 0.2)  # the median of 0.1, 0.2, 0.3 itself
    assert search.report(4, 1, sign * 0.19)
    assert not search.report(3, 2, sign * 0.41)  # its own past does not count, nor do last values
    assert not search.report(5, 1, sign * 0.2)
    assert search.report(5, 2, sign * 0.39)
    assert not search.report(6, 3, sign * -9.0)  # nobody has come so far


def test_the_median_waits_for_two_that_ended() -> None:
    search = median()
    curve(search, 0, [0.5])
    assert not search.report(1, 1, 0.1)
    for number in (3, 4, 5):
        assert not search.report(number, 1, 0.5)  # running ones do not count
    assert not search.report(6, 1, 0.1)
    search.tell(3, None)  # nor do failed ones
    assert not search.report(7, 1, 0.1)
    search.tell(4, 0.5)
    assert search.report(8, 1, 0.1)


def test_cut_trials_count_as_far_as_they_came() -> None:
    search = median()
    for number in range(3):
        curve(search, number, [0.5, 0.5, 0.5])
    assert curve(search, 3, [0.1]) == [True]
    assert curve(search, 4, [0.3]) == [True]
    assert curve(search, 5, [0.2]) == [True]
    assert not search.report(6, 1, 0.4)  # the median of three times 0.5, 0.3, 0.2 and 0.1
    assert search.report(6, 2, 0.4)  # here of three times 0.5


def test_the_median_with_epochs_left_out() -> None:
    """Running averages are of the values that there are."""
    search = median()
    for number in range(3):
        for epoch, value in ((2, 0.2), (4, 0.6)):
            search.report(number, epoch, value)
        search.tell(number, 0.6)
    assert not search.report(3, 1, -1.0)  # none of them was seen by then
    assert search.report(4, 3, 0.19)  # 0.2
    assert search.report(5, 4, 0.39)  # 0.4
    assert not search.report(6, 4, 0.4)


def test_an_epoch_counts_once() -> None:
    search = median()
    for number in range(3):
        for epoch, value in ((1, 0.2), (2, 0.4), (2, 9.0), (1, 9.0)):
            search.report(number, epoch, value)
        search.tell(number, 0.4)
    assert not search.report(3, 2, 0.31)
    assert search.report(4, 2, 0.29)


def test_without_early_stopping_nothing_stops() -> None:
    search = asked_for(Search(Spec("Random", X, True, 20, seed=0)), 20)
    for number in range(10):
        curve(search, number, [0.9] * 5)
    assert not any(search.report(11, epoch, 0.0) for epoch in range(1, 100))


def test_who_was_not_asked_for_is_unknown() -> None:
    search = Search(Spec("Random", X, True, 20, seed=0))
    with pytest.raises(ValueError, match="no trial 0"):
        search.report(0, 1, 0.5)
    with pytest.raises(ValueError, match="no trial 3"):
        search.tell(3, 0.5)
