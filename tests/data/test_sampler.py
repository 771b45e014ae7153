"""The order is a function of (seed, epoch), and can be entered in the middle."""

from __future__ import annotations

import pytest

from sweepmaker.data.sampler import EpochSampler
from sweepmaker.data.streams import mix, stream


def sampler(length: int = 20, seed: int = 3, ranks: int = 1, rank: int = 0) -> EpochSampler:
    return EpochSampler(range(length), seed=seed, num_replicas=ranks, rank=rank)


def test_every_item_once_an_epoch_and_another_order_in_the_next() -> None:
    order = sampler()
    first = list(order)
    assert sorted(first) == [(0, index) for index in range(20)]
    assert list(order) == first
    order.set_epoch(1)
    second = list(order)
    assert {epoch for epoch, _ in second} == {1}
    assert [index for _, index in second] != [index for _, index in first]


def test_the_order_depends_on_the_seed_and_not_on_seed_plus_epoch() -> None:
    one, other = sampler(seed=0), sampler(seed=1)
    one.set_epoch(1)
    assert [index for _, index in one] != [index for _, index in other]


def test_start_in_the_middle() -> None:
    whole, resumed = sampler(), sampler()
    whole.set_epoch(4)
    resumed.start_at(4, 8)
    assert list(resumed) == list(whole)[8:]
    resumed.set_epoch(4)  # Lightning does so before the first epoch of a resumed run
    assert list(resumed) == list(whole)[8:]
    assert len(resumed) == 20
    resumed.set_epoch(5)
    assert len(list(resumed)) == 20
    resumed.set_epoch(4)
    assert list(resumed) == list(whole)


def test_epoch_and_start_are_those_of_the_moment_of_iter() -> None:
    order = sampler()
    order.start_at(2, 15)
    items = iter(order)
    order.set_epoch(3)
    assert [epoch for epoch, _ in items] == [2] * 5


def test_ranks_share_the_epoch_evenly() -> None:
    parts = [list(sampler(21, ranks=4, rank=rank)) for rank in range(4)]
    assert {len(part) for part in parts} == {6}
    assert {index for part in parts for _, index in part} == set(range(21))
    assert len(list(sampler(1, ranks=4, rank=3))) == 1


def test_streams_are_their_numbers_and_neighbours_differ() -> None:
    assert stream(1, 2, 3).random() == stream(1, 2, 3).random()
    seeds = {mix(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(seeds) == 1000 and all(0 <= seed < 2**63 for seed in seeds)
    mean = sum(stream(0, 0, index).random() for index in range(2000)) / 2000
    assert mean == pytest.approx(0.5, abs=0.03)
