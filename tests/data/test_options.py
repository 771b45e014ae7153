"""Impossible values are one ConfigError each, naming the key."""

from __future__ import annotations

from typing import Any

import pytest

from sweepmaker.config.errors import ConfigError
from sweepmaker.data import ImageDataModule

WRONG = [
    ("data.source", {"source": "digit"}),
    ("data.root", {"source": "folder"}),
    ("data.root", {"source": "folder", "root": ""}),
    ("image_size", {"image_size": 0}),
    ("image_size", {"image_size": 64.0}),
    ("batch_size", {"batch_size": 0}),
    ("batch_size", {"batch_size": True}),
    ("seed", {"seed": -1}),
    ("data.splits", {"splits": {"train": 0.8}}),
    ("data.splits.valid", {"splits": {"valid": 0}}),
    ("data.splits.test", {"splits": {"test": 1.5}}),
    ("data.splits", {"splits": {"valid": 0.5, "test": 0.5}}),
    ("data.stats", {"stats": "image_net"}),
    ("data.stats.std", {"stats": {"mean": [0, 0, 0], "std": [1, 1, 0]}}),
    ("data.stats.mean", {"stats": {"std": [1, 1, 1]}}),
    ("data.on_bad_image", {"on_bad_image": "ignore"}),
    ("data.resize", {"resize": 60}),
    ("data.augment", {"augment": {"flip": 0.5}}),
    ("data.augment.hflip", {"augment": {"hflip": float("nan")}}),
    ("data.augment.crop_scale", {"augment": {"crop_scale": [0, 1]}}),
    ("data.augment.crop_scale", {"augment": {"crop_scale": 0.5}}),
    ("data.augment.trivial_augment", {"augment": {"trivial_augment": 1}}),
    ("data.num_workers", {"num_workers": -1}),
    ("data.num_workers", {"num_workers": "many"}),
    ("data.max_pixels", {"max_pixels": 0}),
    ("data.limit.train", {"limit": {"train": 0}}),
    ("data.limit", {"limit": {"trian": 5}}),
]


@pytest.mark.parametrize(("key", "change"), WRONG, ids=[str(change) for _, change in WRONG])
def test_impossible_values(key: str, change: dict[str, Any]) -> None:
    values: dict[str, Any] = {"source": "digits", "image_size": 64, "batch_size": 8, "seed": 0}
    values |= change
    with pytest.raises(ConfigError) as caught:
        ImageDataModule(**values)
    assert caught.value.key == key
    assert caught.value.allowed


def test_a_misspelled_word_is_corrected() -> None:
    with pytest.raises(ConfigError) as caught:
        ImageDataModule(source="fashion-mnist", image_size=64, batch_size=8, seed=0)
    assert caught.value.fix == "data.source=fashion_mnist"
