"""Stratified splits: each class keeps its share in every part, fixed by a seed.

Not scikit-learn's ``train_test_split``: it refuses a class with one image and a part smaller than
the number of classes, both of which real folders have, and importing it takes longer than the
rest of a short run's data work.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sweepmaker.data.streams import stream

IntArray = npt.NDArray[np.int64]


def take_stratified(
    items: IntArray, labels: IntArray, count: int, *, seed: int, keep_one: bool = True
) -> tuple[IntArray, IntArray]:
    """Take ``count`` of ``items`` so that each class gives its share; the rest stays.

    Args:
        items: item numbers, int64 [N].
        labels: class of each of them, int64 [N].
        count: how many to take, 0 to N.
        seed: the choice is a function of it and of the arguments above.
        keep_one: leave at least one item of each class in the rest, even if fewer are then taken.

    Returns:
        ``(taken, rest)``, both in the order that ``items`` had.
    """
    chosen: list[int] = []
    classes = np.unique(labels)
    members = [np.flatnonzero(labels == label) for label in classes]
    limits = [len(each) - 1 if keep_one else len(each) for each in members]
    shares = share_out(count, [len(each) for each in members], limits)
    for label, positions, share in zip(classes.tolist(), members, shares, strict=True):
        shuffled = positions.tolist()
        stream(seed, label).shuffle(shuffled)
        chosen.extend(shuffled[:share])
    mask = np.zeros(len(items), dtype=bool)
    mask[chosen] = True
    return items[mask], items[~mask]


def share_out(count: int, sizes: Sequence[int], limits: Sequence[int]) -> list[int]:
    """Divide ``count`` in proportion to ``sizes`` by largest remainder, none above its limit.

    What does not fit under the limits is given to the classes with the most room, or to nobody.
    """
    total = sum(sizes)
    exact = [count * size / total if total else 0.0 for size in sizes]
    shares = [min(int(part), limit) for part, limit in zip(exact, limits, strict=True)]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (shares[i] - exact[i], i))
    missing = count - sum(shares)
    while missing > 0:
        open_classes = [i for i in by_remainder if shares[i] < limits[i]]
        if not open_classes:
            break
        for i in open_classes[:missing]:
            shares[i] += 1
        missing = count - sum(shares)
    return shares
