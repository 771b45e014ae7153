"""Stratified splits: shares kept, nothing lost, fixed by the seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.data.splits import share_out, take_stratified

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(sizes=sizes, part=st.floats(0, 1), seed=st.integers(0, 100), keep=st.booleans())
def test_a_partition_in_order_with_each_class_at_its_share(
    sizes: list[int], part: float, seed: int, keep: bool
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    items = np.arange(len(labels)) + 100
    count = round(part * len(items))
    taken, rest = take_stratified(items, labels, count, seed=seed, keep_one=keep)
    assert sorted([*taken, *rest]) == items.tolist()
    assert (np.diff(taken) > 0).all() and (np.diff(rest) > 0).all()
    assert len(taken) == (min(count, len(items) - len(sizes)) if keep else count)
    left = np.bincount(labels[rest - 100], minlength=len(sizes))
    if keep:
        assert (left >= 1).all()
    else:
        gone = np.array(sizes) - left
        assert (abs(gone - np.array(sizes) * count / len(items)) < 1 + 1e-9).all()
    again, _ = take_stratified(items, labels, count, seed=seed, keep_one=keep)
    assert again.tolist() == taken.tolist()


def test_another_seed_takes_others() -> None:
    labels = np.repeat(np.arange(3), 50)
    items = np.arange(150)
    one, other = (take_stratified(items, labels, 30, seed=seed)[0] for seed in (0, 1))
    assert one.tolist() != other.tolist()
    assert np.bincount(labels[one]).tolist() == [10, 10, 10]


def test_share_out_gives_what_a_full_class_cannot_take_to_the_others() -> None:
    assert share_out(5, [1, 10], [0, 9]) == [0, 5]
    assert share_out(0, [3, 3], [2, 2]) == [0, 0]
    assert share_out(9, [3, 3], [2, 2]) == [2, 2]
