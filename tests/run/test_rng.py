"""Random states: captured, written, read without pickle, put back."""

from __future__ import annotations

import io
import random

import numpy as np
import torch

from sweepmaker.run import rng


def draw() -> list[float]:
    # an odd number of normal deviates: generators keep the second of each pair
    return [
        random.random(), random.gauss(0, 1), random.randrange(10**9),
        float(np.random.rand()), float(np.random.randn()), float(np.random.permutation(99)[0]),
        float(torch.rand(())), float(torch.randn(3).sum()), float(torch.randperm(1000)[0]),
    ]  # fmt: skip


def test_what_was_captured_comes_back_through_a_file() -> None:
    draw()
    state = rng.capture()
    expected = [draw(), draw()]
    file = io.BytesIO()
    torch.save({"rng": state}, file)
    file.seek(0)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    assert draw() != expected[0]
    rng.restore(torch.load(file, weights_only=True)["rng"])
    assert [draw(), draw()] == expected


def test_capturing_draws_nothing_and_is_a_copy() -> None:
    state = rng.capture()
    expected = draw()
    rng.restore(state)
    rng.capture()
    assert draw() == expected
    rng.restore(state)
    assert draw() == expected
