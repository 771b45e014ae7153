"""Features go to the disk batch by batch, and come back for everything that is equal as JSON."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sweepmaker.data.cache.features import obtain_features

ABOUT = {"augment": (0.5, 1.0)}  # a tuple here, a list in the file
SHAPES = {"train": (2, 30, 4), "valid": (1, 10, 4)}


def values(split: str) -> Tensor:
    views, images, width = SHAPES[split]
    return torch.arange(views * images * width, dtype=torch.float32).reshape(-1, width)


def test_no_split_lies_in_memory(tmp_path: Path) -> None:
    made: list[weakref.ref[Tensor]] = []
    most = 0

    def compute(split: str) -> Iterator[Tensor]:
        nonlocal most
        for part in values(split).split(3):
            batch = part.clone()
            made.append(weakref.ref(batch))
            yield batch
            del batch
            most = max(most, sum(ref() is not None for ref in made))

    said: list[str] = []
    tables, path = obtain_features(ABOUT, SHAPES, compute, [tmp_path], say=said.append)
    assert most <= 2 and len(made) == 24
    assert all(torch.equal(tables[split], values(split).reshape(SHAPES[split])) for split in SHAPES)

    def refuse(split: str) -> Iterator[Tensor]:
        raise AssertionError("they were there")

    again, found = obtain_features(ABOUT, SHAPES, refuse, [tmp_path], say=said.append)
    assert found == path and torch.equal(again["train"], tables["train"]) and said == []


def test_too_few_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train: 12 values are missing"):
        obtain_features({}, SHAPES, lambda split: [values(split)[3:]], [tmp_path], say=print)
    assert not list(tmp_path.glob("*.cache"))
