"""Random streams that are functions of integers, never of the global generators.

Data order and augmentation must not depend on the number of workers, on what else drew random
numbers, or on where a run was interrupted. So each use makes its own stream from the integers
that name it, for example ``(seed, epoch, index)``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MASK = (1 << 64) - 1


def mix(*numbers: int) -> int:
    """A 63-bit seed from integers; neighbouring inputs give unrelated seeds.

    Each number goes through the finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable
    pseudorandom number generators", OOPSLA 2014), so that seed 0 in epoch 1 and seed 1 in epoch 0
    share nothing, as they would with ``seed + epoch``.
    """
    state = 0
    for number in numbers:
        state = (state + (number & _MASK) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state >> 1


def stream(*numbers: int) -> random.Random:
    """A random stream that belongs to ``numbers`` alone (about 6 microseconds).

    Python's own generator: ``random()`` is promised to give the same sequence in every version.
    """
    return random.Random(mix(*numbers))


@contextmanager
def lent_generator(seed: int) -> Iterator[None]:
    """The global CPU generator of torch, seeded for a library that draws from it, and then put back."""
    generator = torch.default_generator
    state = generator.get_state()
    try:
        generator.manual_seed(seed)
        yield
    finally:
        generator.set_state(state)
