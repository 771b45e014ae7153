"""Cores and GPUs for trials that run side by side."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.embedded.settings import Settings, gpus_of
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
    slots = Slots((0, 1, 4), ("0", "1"))
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
    slots = Slots((0, 1), ("0",))
    assert slots.take(1, lambda: False) is not None
    calls = iter([False, True])
    assert slots.take(1, lambda: next(calls)) is None


def test_who_came_first_is_served_first() -> None:
    """Small trials that follow each other do not keep a large one waiting."""
    slots = Slots((0, 1))
    small = [slots.take(1, lambda: False), slots.take(1, lambda: False)]
    order: list[str] = []
    queued = {"large": threading.Event(), "small": threading.Event()}

    def take(name: str, cores: int) -> None:
        slot = slots.take(cores, lambda: False, waits=queued[name].set)
        assert slot is not None
        order.append(name)
        slots.give_back(slot)

    threads = []
    for name, cores in (("large", 2), ("small", 1)):
        threads.append(threading.Thread(target=take, args=(name, cores)))
        threads[-1].start()
        assert queued[name].wait(10)
    for slot in small:
        assert slot is not None
        slots.give_back(slot)
    for thread in threads:
        thread.join(10)
    assert order == ["large", "small"]


def test_who_gives_up_lets_the_next_one_by() -> None:
    slots = Slots((0, 1))
    assert slots.take(1, lambda: False) is not None
    calls = iter([False, True])
    assert slots.take(2, lambda: next(calls)) is None
    assert slots.take(1, lambda: False) is not None


@pytest.mark.parametrize(
    ("cores", "parallel", "gpus", "each", "told"),
    [
        (16, 4, 1, 16, "4 at a time asked for, 16 cores and 1 GPU here; 1 run at a time"),
        (16, 4, 2, 8, "2 GPUs here; 2 run at a time"),
        (16, 4, 8, 4, "16 cores and 8 GPUs here"),
        (2, 4, 3, 1, "2 run at a time"),
    ],
)
def test_gpus_count_too(cores: int, parallel: int, gpus: int, each: int, told: str) -> None:
    found, reason = cores_each(cores, parallel, gpus)
    assert found == each
    assert told in reason


@pytest.mark.parametrize(
    ("visible", "gpus", "found"),
    [
        ("", None, ()),
        ("-1", None, ()),
        ("2,0", None, ("2", "0")),
        ("GPU-1a, MIG-2b", None, ("GPU-1a", "MIG-2b")),
        ("3,-1,4", None, ("3",)),
        ("5,6,7", 2, ("5", "6")),
        (None, 2, ("0", "1")),
        (None, 0, ()),
    ],
)
def test_gpus_that_the_server_may_not_see_are_not_dealt_out(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int | None, found: tuple[str, ...]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_of(Settings(gpus=gpus)) == found


def test_gpus_come_back_in_their_order() -> None:
    slots = Slots((0, 1), ("GPU-b", "GPU-a"))
    one, other = slots.take(1, lambda: False), slots.take(1, lambda: False)
    assert one is not None and other is not None
    slots.give_back(other)
    slots.give_back(one)
    again = slots.take(1, lambda: False)
    assert again is not None and again.gpus == ("GPU-b",)
