"""The data module's promises to the rest of the house."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data import ImageDataModule
from sweepmaker.data.statistics import IMAGENET
from sweepmaker.data.transforms import evaluation_transform
from sweepmaker.data.workers import auto_workers
from tests.images import class_tree

AUGMENT = {"crop_scale": [0.25, 1.0], "hflip": 0.5, "trivial_augment": True}


def module(source: str = "digits", **changes: Any) -> ImageDataModule:
    values = {"image_size": 16, "batch_size": 4, "seed": 0, "num_workers": 0} | changes
    return ImageDataModule(source=source, **values)


def ready(source: str = "digits", **changes: Any) -> ImageDataModule:
    data = module(source, **changes)
    data.setup()
    return data


def batches(data: ImageDataModule, epoch: int = 0) -> list[tuple[Tensor, Tensor]]:
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]  # an EpochSampler
    return list(loader)


def equal(one: list[tuple[Tensor, Tensor]], other: list[tuple[Tensor, Tensor]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(one, other, strict=True)
    )


def test_digits() -> None:
    data = ready()
    assert data.num_classes == 10 and data.counts == {"train": 1437, "valid": 180, "test": 180}
    images, labels = next(iter(data.train_dataloader()))
    assert tuple(images.shape) == (4, 3, 16, 16) and images.dtype == torch.uint8
    assert tuple(labels.shape) == (4,) and labels.dtype == torch.int64
    done, same = data.on_after_batch_transfer((images, labels), 0)
    assert done.dtype == torch.float32 and same is labels
    assert torch.equal(data.on_after_batch_transfer((done, labels), 0)[0], done)


def test_the_splits_are_disjoint_stratified_and_fixed_by_the_seed() -> None:
    data, again, other = ready(), ready(), ready(split_seed=1)
    parts = [set(data.dataset(split).items.tolist()) for split in data.counts]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1797
    assert data.dataset("test").items.tolist() == again.dataset("test").items.tolist()
    assert data.dataset("test").items.tolist() != other.dataset("test").items.tolist()
    for split in ("valid", "test"):
        labels = [data.dataset(split)[i][1] for i in range(180)]
        assert all(17 <= labels.count(digit) <= 19 for digit in range(10))


def test_normalised_training_pixels_have_mean_zero_and_std_one() -> None:
    data = ready(image_size=8)
    dataset = data.dataset("train", augmented=False)
    images = torch.stack([dataset[i][0] for i in range(len(dataset))])
    done, _ = data.on_after_batch_transfer((images, torch.zeros(len(dataset))), 0)
    assert done.mean().item() == pytest.approx(0, abs=1e-4)
    assert done.std(correction=0).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("trivial", [False, True])
def test_pixels_do_not_depend_on_the_workers(trivial: bool) -> None:
    options: dict[str, Any] = {
        "augment": AUGMENT | {"trivial_augment": trivial},
        "limit": {"train": 40, "valid": 20},
    }
    before = torch.get_rng_state()
    here = batches(ready(**options), 3)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1234)
    assert equal(here, batches(ready(num_workers=2, **options), 3))
    assert not equal(here, batches(ready(**options), 4))
    assert not equal(here, batches(ready(**options | {"seed": 1, "split_seed": 0}), 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_entered_in_the_middle_gives_the_rest_of_it(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"augment": AUGMENT, "limit": {"train": 42}, "num_workers": workers}
    whole = batches(ready(**options), 2)
    data = ready(**options)
    data.position = (2, 7)
    loader = data.train_dataloader()
    assert len(loader) == len(whole) == 10
    assert equal(list(loader), whole[7:])
    if workers == 0:
        loads: list[int] = []
        source = data.dataset("train").source
        load = source.load

        def counted(item: int) -> Tensor:
            loads.append(item)
            return load(item)

        monkeypatch.setattr(source, "load", counted)
        list(data.train_dataloader())
        assert len(loads) == 12  # the skipped ones are not even loaded
    loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
    assert len(list(loader)) == 10


def test_a_last_short_batch_is_dropped_only_if_a_whole_one_is_left() -> None:
    assert [len(labels) for _, labels in batches(ready(limit={"train": 10}))] == [4, 4]
    assert [len(labels) for _, labels in batches(ready(limit={"train": 3}))] == [3]
    assert [len(x) for x, _ in ready(limit={"valid": 6}).val_dataloader()] == [4, 2]


def test_evaluation_is_the_transform_of_the_model_json() -> None:
    data = ready(resize=20)
    spec = json.loads(json.dumps(data.transform_spec()))
    dataset = data.dataset("test")
    item = int(dataset.items[5])
    expected = evaluation_transform(spec)(dataset.source.load(item))
    assert torch.equal(dataset[5][0], expected)
    assert spec["mean"] == list(data.stats_.mean) and spec["interpolation"] == "bicubic"


def test_stats_and_workers_are_choices_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    data = module(num_workers="auto")
    data.choices = Choices(quiet=True)
    data.setup()
    data.setup()
    data.train_dataloader()
    data.val_dataloader()
    made = data.choices.as_dict()
    assert "1437 training images" in made["data.stats"]["reason"]
    assert made["data.stats"]["value"]["mean"] == [0.3055] * 3
    assert "data.num_workers" in made and json.dumps(made)
    quiet = module(num_workers="auto")
    quiet.setup()
    assert capsys.readouterr().out == ""


def test_other_statistics() -> None:
    assert ready(stats="imagenet").stats_ == IMAGENET
    explicit = ready(stats={"mean": [0, 0.5, 1], "std": [0.1, 0.2, 0.3]})
    assert explicit.stats_.mean == (0.0, 0.5, 1.0)
    assert explicit.describe()["stats"]["from"] == "config"


def test_automatic_workers() -> None:
    assert auto_workers(False, 64, 1)[0] == 0
    assert auto_workers(True, 1, 1)[0] == 0
    assert auto_workers(True, 4, 1)[0] == 3
    assert auto_workers(True, 64, 1)[0] == 8
    assert auto_workers(True, 16, 8)[0] == 1


def test_a_gpu_is_given_pinned_batches_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageDataModule, "_device_type", lambda self: "cuda")
    data = ready("folder", root=str(class_tree(tmp_path)), num_workers=2)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        assert loader.pin_memory and loader.num_workers == 2 and loader.persistent_workers
        assert loader.prefetch_factor == 2  # batches a worker has ready
    features = torch.zeros(1, data.counts["train"], 4)
    data.use_features({"train": features, "valid": features})
    cached = data.train_dataloader()
    assert cached.pin_memory and cached.num_workers == 0  # indexing waits for nothing
    monkeypatch.setattr(ImageDataModule, "_device_type", lambda self: "cpu")
    assert not data.train_dataloader().pin_memory


def test_batches_are_copied_while_the_gpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    data, how = ready(), []
    move = Tensor.to

    def watched(self: Tensor, *to: Any, **options: Any) -> Tensor:
        if to == (device,):
            how.append(options.get("non_blocking"))
        return move(self, *to, **options)

    device = torch.device("meta")  # stands for a GPU, as far as the way there goes
    monkeypatch.setattr(Tensor, "to", watched)
    data.transfer_batch_to_device(next(iter(data.val_dataloader())), device, 0)
    assert how == [True, True]


# --- folders ---


def test_a_folder_with_splits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class_tree(tmp_path, ("10.b", "9.a", "1 ü"), images=3)
    for image in (tmp_path / "valid" / "9.a").iterdir():
        image.unlink()
    data = ready("folder", root=str(tmp_path))
    assert data.class_names == ["1 ü", "9.a", "10.b"]
    assert data.counts == {"train": 9, "valid": 6, "test": 9}
    about = data.describe()
    assert json.loads(json.dumps(about)) == about
    assert about["missing_classes"] == {"valid": ["9.a"]} and about["skipped"] == []
    assert about["fingerprint"] == data.fingerprint and len(data.fingerprint) == 64
    captured = capsys.readouterr()
    assert "valid has no images of 1 class(es): 9.a" in captured.err and captured.out == ""


def test_one_tree_is_split_and_only_missing_splits_are_carved(tmp_path: Path) -> None:
    whole = ready("folder", root=str(class_tree(tmp_path / "one", splits=(), images=10)))
    assert whole.counts == {"train": 16, "valid": 2, "test": 2}
    two = class_tree(tmp_path / "two", splits=("train", "test"), images=10)
    assert ready("folder", root=str(two)).counts == {"train": 18, "valid": 2, "test": 20}
    quiet = {"valid": 0.1, "test": 0.0}
    none = ready("folder", root=str(tmp_path / "one"), splits=quiet)
    assert none.counts == {"train": 18, "valid": 2, "test": 0}
    with pytest.raises(ConfigError, match="no test images"):
        none.test_dataloader()


def test_too_few_images_to_validate(tmp_path: Path) -> None:
    data = module("folder", root=str(class_tree(tmp_path, splits=(), images=1)))
    with pytest.raises(ConfigError, match="too few"):
        data.setup()


@pytest.mark.parametrize("stats", ["data", "imagenet"])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_bad_image_stops_the_run_or_is_left_out(
    tmp_path: Path, split: str, stats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    class_tree(tmp_path, images=3)
    bad = tmp_path / split / "dog" / "1.jpg"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match=rf"{split}/dog/1\.jpg"):
        module("folder", root=str(tmp_path), stats=stats).setup()
    data = ready("folder", root=str(tmp_path), stats=stats, on_bad_image="skip")
    assert data.counts == {"train": 6, "valid": 6, "test": 6} | {split: 5}
    assert data.skipped == [f"{split}/dog/1.jpg"]
    (entry,) = data.describe()["skipped"]
    assert entry["file"] == data.skipped[0] and "cannot decode" in entry["reason"]
    assert "1 bad image(s) left out" in capsys.readouterr().err
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        list(loader)


def test_a_class_of_which_nothing_is_left(tmp_path: Path) -> None:
    class_tree(tmp_path, images=1)
    (tmp_path / "train" / "dog" / "0.jpg").write_text("no")
    with pytest.raises(DataError, match="every training image of 'dog'"):
        module("folder", root=str(tmp_path), on_bad_image="skip").setup()


def test_huge_and_tiny_images(tmp_path: Path) -> None:
    class_tree(tmp_path / "wide", splits=("train", "valid", "test"), size=(20_000, 3), images=1)
    class_tree(tmp_path / "tiny", splits=("train", "valid", "test"), size=(1, 1), images=1)
    for name in ("wide", "tiny"):
        data = ready("folder", root=str(tmp_path / name), augment=AUGMENT)
        for loader in (data.train_dataloader(), data.test_dataloader()):
            assert [tuple(images.shape) for images, _ in loader] == [(2, 3, 16, 16)]
    with pytest.raises(DataError, match=r"data\.max_pixels=1,000"):
        module("folder", root=str(tmp_path / "wide"), max_pixels=1000).setup()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_goes_bad_during_the_run_is_one_clear_error(tmp_path: Path, workers: int) -> None:
    data = ready("folder", root=str(class_tree(tmp_path)), num_workers=workers)
    for path in (tmp_path / "train").rglob("*.jpg"):
        path.unlink()
    with pytest.raises(DataError) as caught:
        list(data.train_dataloader())
    assert str(caught.value).startswith("cannot read ")
    assert "Traceback" not in str(caught.value)


def test_prepare_data_then_setup_looks_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = module("folder", root=str(class_tree(tmp_path)))
    data.prepare_data()
    data.setup("fit")
    other_rank = module("folder", root=str(tmp_path))
    other_rank.setup("fit")
    assert capsys.readouterr().err.count("checking images") == 1
    assert other_rank.fingerprint == data.fingerprint
