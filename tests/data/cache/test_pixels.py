"""Decoded images kept on disk: the same pixels for evaluation, the same views for training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from omegaconf import OmegaConf
from torch.utils.data import DataLoader

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data import ImageDataModule
from sweepmaker.data.cache import shared
from sweepmaker.data.cache.pixels import plan, training_side
from sweepmaker.data.decode import read_image
from sweepmaker.data.digits import digits
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.workers import device_type
from sweepmaker.run.training import Run
from tests.images import class_tree, photo_jpeg

CROPS = {"crop_scale": [0.25, 1.0], "hflip": 0.5}


def module(root: Path | None, **changes: Any) -> ImageDataModule:
    values: dict[str, Any] = {"image_size": 16, "batch_size": 4, "seed": 0, "num_workers": 0}
    values |= {"source": "digits" if root is None else "folder", "root": None if root is None else str(root)}
    data = ImageDataModule(**values | changes)
    data.choices = Choices(quiet=True)
    data.setup()
    return data


def choice(data: ImageDataModule) -> dict[str, Any]:
    assert data.choices is not None
    return data.choices.as_dict()["data.cache"]


def images(data: ImageDataModule, split: str, **how: Any) -> torch.Tensor:
    dataset = data.dataset(split, **how)
    return torch.stack([dataset[number][0] for number in range(len(dataset))])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = class_tree(tmp_path / "photos", images=5, size=(90, 60))
    (root / "train" / "cat" / "long.jpg").write_bytes(photo_jpeg(7, (700, 20)))
    (root / "train" / "dog" / "tiny.jpg").write_bytes(photo_jpeg(8, (5, 9)))
    return root


@pytest.mark.parametrize("resize", [None, 20])
def test_evaluation_sees_the_same_pixels_bit_for_bit(root: Path, resize: int | None) -> None:
    plain = module(root, resize=resize, augment=CROPS, cache="none")
    kept = module(root, resize=resize, augment=CROPS, cache="disk")
    for split in ("valid", "test"):
        assert torch.equal(images(plain, split), images(kept, split))
    assert torch.equal(images(plain, "train", augmented=False), images(kept, "train", augmented=False))
    assert kept.stats_ == plain.stats_ and kept.fingerprint == plain.fingerprint


@pytest.mark.parametrize("source", ["folder", "digits"])
def test_training_without_crops_sees_them_too(root: Path, source: str) -> None:
    augment = {"hflip": 0.5, "trivial_augment": True}
    where = root if source == "folder" else None
    limit = {"train": 50} if where is None else None
    plain = module(where, augment=augment, cache="none", limit=limit)
    kept = module(where, augment=augment, cache="disk", limit=limit)
    assert torch.equal(images(plain, "train"), images(kept, "train"))


def test_random_crops_show_the_same_part(root: Path) -> None:
    """Cut from a smaller copy: as near to the original's as resizing twice is to resizing once."""
    limits: dict[str, Any] = {"image_size": 48, "augment": {"crop_scale": [0.5, 1.0], "hflip": 0.5}}
    plain = images(module(root, cache="none", **limits), "train").float()
    kept = images(module(root, cache="disk", **limits), "train").float()
    usual = [number for number in range(len(plain)) if plain[number].std() > 1]
    off = (plain - kept).abs().mean(dim=(1, 2, 3))[usual]
    other = (plain - kept.roll(1, 0)).abs().mean(dim=(1, 2, 3))[usual]
    assert off.median() < 5 < 15 < other.median()


def test_images_are_decoded_once_for_all_runs(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module(root, cache="disk", augment=CROPS)
    assert choice(first)["value"] == "disk" and str(root / ".sweepmaker") in choice(first)["reason"]
    assert first.describe()["cache"] == str(next((root / ".sweepmaker").glob("pixels-*.cache")))

    def refuse(*_: Any) -> None:
        raise AssertionError("it was decoded already")

    monkeypatch.setattr(FolderSource, "load", refuse)
    monkeypatch.setattr(FolderSource, "load_unchanged", refuse)
    again = module(root, cache="disk", augment=CROPS, seed=3)
    assert len(list(again.train_dataloader())) == 3 and len(list(again.val_dataloader())) == 3
    assert len(list((root / ".sweepmaker").glob("pixels-*.cache"))) == 1


def test_workers_that_are_not_forked_read_it_too(root: Path) -> None:
    data = module(root, cache="disk")
    loader = DataLoader(data.dataset("valid"), num_workers=1, multiprocessing_context="spawn", batch_size=10)
    ((batch, _),) = list(loader)
    assert torch.equal(batch, images(data, "valid"))


def test_a_changed_image_and_another_size_have_files_of_their_own(root: Path) -> None:
    module(root, cache="disk")
    module(root, cache="disk", image_size=24)
    (root / "train" / "cat" / "0.jpg").write_bytes(photo_jpeg(99, (90, 60)))
    changed = module(root, cache="disk")
    assert len(list((root / ".sweepmaker").glob("pixels-*.cache"))) == 3
    assert torch.equal(images(changed, "train"), images(module(root, cache="none"), "train"))


@pytest.mark.parametrize("how", ["cut", "changed", "another"])
def test_a_spoilt_file_is_built_anew(root: Path, tmp_path: Path, how: str, capsys: Any) -> None:
    good = images(module(root, cache="disk"), "valid")
    (path,) = (root / ".sweepmaker").glob("pixels-*.cache")
    content = bytearray(path.read_bytes())
    if how == "another":
        module(class_tree(tmp_path / "others", images=3), cache="disk", cache_dir=str(tmp_path / "c"))
        content = bytearray(next((tmp_path / "c").glob("pixels-*.cache")).read_bytes())
    elif how == "cut":
        del content[len(content) // 2 :]
    else:
        content[100] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    assert torch.equal(images(module(root, cache="disk"), "valid"), good)
    assert "built anew" in capsys.readouterr().err


def test_an_image_that_changes_while_the_cache_is_built_stops_the_run(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = FolderSource.check

    def changes(self: FolderSource) -> dict[int, str]:
        bad = check(self)
        (root / "train" / "cat" / "1.jpg").write_bytes(photo_jpeg(99, (90, 60)))
        return bad

    monkeypatch.setattr(FolderSource, "check", changes)
    with pytest.raises(DataError, match=r"train/cat/1\.jpg changed while the run was starting"):
        module(root, cache="disk")
    assert not list((root / ".sweepmaker").glob("pixels-*"))


def test_a_disk_that_is_too_small(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_SPARE", 1 << 60)
    with pytest.raises(ConfigError, match="GB free") as error:
        module(root, cache="disk")
    assert error.value.key == "data.cache" and "data.cache_dir=FOLDER" in str(error.value.fix)
    monkeypatch.setattr(ImageDataModule, "_device_type", lambda self: "cuda")
    assert choice(module(root, cache="auto"))["value"] == "none"


def test_chosen_by_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choice(module(root, cache="auto")) == {
        "value": "none", "reason": "on a CPU a step costs far more than decoding its images",
    }  # fmt: skip
    monkeypatch.setattr(ImageDataModule, "_device_type", lambda self: "cuda")
    assert choice(module(root, cache="auto"))["value"] == "disk"
    assert "lie in memory" in choice(module(None, cache="auto"))["reason"]


def test_the_device_is_the_one_that_the_run_trains_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choice(module(root, cache="auto"))["value"] == "disk"
    run = Run.__new__(Run)  # of which only this is needed
    settings = {"_target_": "sweepmaker.data.ImageDataModule", "source": "folder", "root": str(root)}
    run.cfg = OmegaConf.create(
        {"data": settings | {"image_size": 16, "batch_size": 4, "seed": 0, "cache": "auto"}}
    )
    for accelerator, value in (("cpu", "none"), ("gpu", "disk"), ("mps", "disk")):
        run.choices = Choices(quiet=True)
        data = run._build_data(accelerator)
        assert isinstance(data, ImageDataModule) and choice(data)["value"] == value
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert (device_type("auto"), device_type("gpu"), device_type("cpu")) == ("mps", "mps", "cpu")


def test_another_decoder_has_a_file_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module(root, cache="disk")
    monkeypatch.setattr(torchvision, "__version__", "1.0")
    module(root, cache="disk")
    assert len(list((root / ".sweepmaker").glob("pixels-*.cache"))) == 2


def test_several_runs_share_the_folder_that_they_are_given(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPMAKER_CACHE", str(tmp_path / "shared"))
    data = module(root, cache="disk")
    assert str(data.describe()["cache"]).startswith(str(tmp_path / "shared"))
    assert not (root / ".sweepmaker").exists()  # statistics and inventory lie there, too


@pytest.mark.parametrize(("size", "resize", "crops", "side"), [
    (64, 64, False, 64), (64, 64, True, 72), (260, 288, True, 288), (260, 260, True, 293),
    (128, 256, True, 256),
])  # fmt: skip
def test_short_side_of_training_images(size: int, resize: int, crops: bool, side: int) -> None:
    assert training_side(size, resize, crops=crops) == side


def test_what_is_kept_of_each_image(root: Path) -> None:
    source = FolderSource(root, max_pixels=10**9, threads=1, say=lambda line: None)
    source.check()
    parts = {split: source.given[split] for split in ("train", "valid", "test")}
    sides = dict(plan(source, parts, evaluation=16, training=18).entries.tolist())
    assert {split: {sides[int(item)] for item in items} for split, items in parts.items()} == {
        "train": {18}, "valid": {16}, "test": {16},
    }  # fmt: skip
    drawn = digits()
    thirds = dict(zip(("train", "valid", "test"), np.array_split(np.arange(300), 3), strict=True))
    assert len(plan(drawn, thirds, evaluation=16, training=18).entries) == 600
    assert len(plan(drawn, thirds, evaluation=16, training=16).entries) == 300


def test_a_kept_image_is_the_decoded_one_resized(root: Path) -> None:
    data = module(root, cache="disk", image_size=60, resize=60, augment={})
    number = next(n for n, item in enumerate(data.dataset("valid").items) if item >= 0)
    name = data.source.item_name(int(data.dataset("valid").items[number]))
    original = read_image(root / name)
    assert torch.equal(data.dataset("valid").source.load(int(data.dataset("valid").items[number])), original)
