"""Cores and GPUs for trials that run side by side."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.embedded.slots import Slots, cores_each


@given(st.integers(1, 256), st.integers(1, 100))
def test_one_thread_a_trial_comes_before_two(cores: int, parallel: int) -> None:
    each, reason = cores_each(cores, parallel)
    assert each >= 1
    assert each == 1 or each * parallel <= cores
    assert (each + 1) * parallel > cores
    assert str(cores) in reason and str(parallel) in reason


@pytest.mark.parametrize(
    ("cores", "parallel", "told"), [(2, 2, "1 thread a trial"), (2, 4, "2 run at a time")]
)
def test_the_reason_is_told(cores: int, parallel: int, told: str) -> None:
    assert told in cores_each(cores, parallel)[1]


def test_nobody_shares_a_core_or_a_gpu() -> None:
    slots = Slots((0, 1, 4), (0, 1))
    one, other = slots.take(1, lambda: False), slots.take(2, lambda: False)
    assert one is not None and other is not None
    assert set(one.cores).isdisjoint(other.cores) and set(one.gpus).isdisjoint(other.gpus)
    assert (one.threads, other.threads) == (1, 2)
    assert slots.take(1, lambda: True) is None
    slots.give_back(other)
    again = slots.take(2, lambda: False)
    assert again is not None and again.cores == other.cores


def test_who_waits_gets_what_is_given_back() -> None:
    slots = Slots((0,))
    first = slots.take(1, lambda: False)
    assert first is not None
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(slots.take(1, lambda: False)))
    waiting.start()
    assert got == []
    slots.give_back(first)
    waiting.join(10)
    assert got == [first]


def test_with_gpus_a_trial_waits_for_one() -> None:
    slots = Slots((0, 1), (0,))
    assert slots.take(1, lambda: False) is not None
    calls = iter([False, True])
    assert slots.take(1, lambda: next(calls)) is None
