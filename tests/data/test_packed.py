"""A cache in the place of the images: the same data set, and a message for each way it may not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data import ImageDataModule
from sweepmaker.data.cache import blob
from tests.data.cache.test_pixels import CROPS, images, module
from tests.images import class_tree

SETTINGS: dict[str, Any] = {"augment": CROPS, "resize": 20, "on_bad_image": "skip"}


@pytest.fixture
def packed(tmp_path: Path) -> tuple[ImageDataModule, Path]:
    """A module on images, one of them broken, and a folder that holds its cache alone."""
    root = class_tree(tmp_path / "photos", images=5, size=(90, 60))
    (root / "train" / "cat" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    whole = module(root, cache="disk", **SETTINGS)
    assert whole.pixels is not None
    folder = tmp_path / "alone"
    folder.mkdir()
    shutil.copy(whole.pixels.path, folder)
    return whole, folder


def alone(folder: Path, **changes: Any) -> ImageDataModule:
    values = {"source": "folder", "cache_uri": str(folder), **SETTINGS, **changes}
    return module(values.pop("root", None), **values)


def test_is_the_data_set_that_it_was_made_of(packed: tuple[ImageDataModule, Path], tmp_path: Path) -> None:
    whole, folder = packed
    seen = {split: images(whole, split) for split in ("train", "valid", "test")}
    shutil.rmtree(tmp_path / "photos")
    found = alone(folder)
    for split in ("train", "valid", "test"):
        assert torch.equal(images(found, split), seen[split])
    ours, theirs = found.describe(), whole.describe()
    for name in ("fingerprint", "counts", "classes", "stats", "skipped", "missing_classes"):
        assert ours[name] == theirs[name], name
    assert np.array_equal(found.source.labels, whole.source.labels)
    assert found.transform_spec() == whole.transform_spec()
    assert found.choices is not None
    assert found.choices.as_dict()["data.cache"]["reason"].startswith("given by data.cache_uri")


def test_carved_splits_follow_the_seed(tmp_path: Path) -> None:
    root = class_tree(tmp_path / "flat", splits=(), images=12, size=(40, 30))
    whole = module(root, cache="disk", augment=CROPS)
    assert whole.pixels is not None
    folder = whole.pixels.path.parent
    for seed in (0, 1):
        kept, plain = alone(folder, seed=seed, resize=None), module(root, seed=seed, augment=CROPS)
        for split in ("train", "valid", "test"):
            assert np.array_equal(kept.dataset(split).items, plain.dataset(split).items)
        assert torch.equal(images(kept, "valid"), images(plain, "valid"))


def test_digits_can_be_packed_too(tmp_path: Path) -> None:
    module(None, cache="disk", cache_dir=str(tmp_path), limit={"train": 40, "valid": 9, "test": 9})
    found = module(None, cache_uri=str(tmp_path), limit={"train": 40, "valid": 9, "test": 9})
    plain = module(None, limit={"train": 40, "valid": 9, "test": 9})
    assert torch.equal(images(found, "train"), images(plain, "train"))
    assert found.stats_ == plain.stats_
    with pytest.raises(ConfigError, match="of the images of this run, such as"):
        module(None, cache_uri=str(tmp_path))
    # the fitting one of several, whatever their names
    next(tmp_path.glob("*.cache")).rename(tmp_path / "pixels-0.cache")
    whole = module(None, cache="disk", cache_dir=str(tmp_path)).pixels
    chosen = module(None, cache_uri=str(tmp_path)).pixels
    assert whole is not None and chosen is not None and chosen.path == whole.path


@pytest.mark.parametrize(
    ("changes", "message", "key"),
    [
        ({"image_size": 32, "resize": 40}, "has short sides of", "data.cache_uri"),
        ({"root": "/"}, "names images, too", "data.cache_uri"),
        ({"cache_uri": "/nowhere"}, "there is no folder", "data.cache_uri"),
        ({"source": "digits"}, "is a cache of data.source=folder", "data.source"),
    ],
)
def test_what_does_not_fit_is_one_message(
    packed: tuple[ImageDataModule, Path], changes: dict[str, Any], message: str, key: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        alone(packed[1], **changes)
    assert refused.value.key == key


@pytest.mark.parametrize("harm", ["empty", "truncated", "changed", "another", "no source", "wrong labels"])
def test_a_folder_without_a_whole_cache(
    packed: tuple[ImageDataModule, Path], harm: str, tmp_path: Path
) -> None:
    folder = packed[1]
    (file,) = folder.glob("*.cache")
    if harm == "empty":
        file.unlink()
    elif harm == "truncated":
        file.write_bytes(file.read_bytes()[:-9])
    elif harm == "changed":
        file.write_bytes(b"x" + file.read_bytes()[1:])
    elif harm == "another":
        other = module(class_tree(tmp_path / "other", images=3, size=(50, 50)), cache="disk", **SETTINGS)
        assert other.pixels is not None
        shutil.copy(other.pixels.path, folder)
    else:
        _rewrite(file, without=harm == "no source")
    with pytest.raises(ConfigError) as refused:
        alone(folder)
    assert refused.value.key == "data.cache_uri"
    expected = {
        "another": "caches of different data",
        "no source": "section 'source'",
        "wrong labels": "labels of classes that",
    }
    assert expected.get(harm, "holds no cache for this run") in refused.value.message


def test_bad_images_stop_a_run_as_they_do_without_a_cache(packed: tuple[ImageDataModule, Path]) -> None:
    with pytest.raises(DataError, match="1 bad image") as refused:
        alone(packed[1], on_bad_image="stop")
    assert "broken.jpg" in str(refused.value) and "data.on_bad_image=skip" in str(refused.value)


def _rewrite(file: Path, *, without: bool) -> None:
    """A whole file whose word on its source is missing, or does not fit the images."""
    old = blob.open_blob(file)
    sections = {name: old.array(name).copy() for name in ("entries", "place", "source", "labels", "sums")}
    offset, height, width = sections["place"][-1].tolist()
    pixels = old.bytes_[: offset + height * width * 3].copy()
    if without:
        del sections["source"]
    else:
        sections["labels"] = sections["labels"] + 7
    with file.open("wb") as stream:
        writer = blob.Writer(stream)
        writer.append(pixels)
        for name, array in sections.items():
            writer.section(name, array)
        writer.finish(old.about)


def test_hostile_names_stay_names(packed: tuple[ImageDataModule, Path]) -> None:
    """What the file says of its source is data: it opens no other file."""
    _, folder = packed
    (file,) = folder.glob("*.cache")
    told = json.loads(blob.open_blob(file).array("source").tobytes())
    assert set(told) == {"name", "class_names", "given", "names", "bad"}
    found = alone(folder)
    with pytest.raises(DataError, match="is not in"):
        found.source.load(0)
