"""Which runs share a file of features: those whose features are the same, and no others."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from sweepmaker.config.choices import Choices
from sweepmaker.data import ImageDataModule
from sweepmaker.models import Classifier
from sweepmaker.run import features
from tests.images import class_tree

CROPS = {"crop_scale": [0.5, 1.0], "hflip": 0.5}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return class_tree(tmp_path / "photos", images=2, size=(40, 30))


def photos(root: Path, **changes: Any) -> ImageDataModule:
    values: dict[str, Any] = {"source": "folder", "root": str(root), "image_size": 32, "batch_size": 4}
    data = ImageDataModule(**values | {"seed": 0, "num_workers": 0, "cache": "auto"} | changes)
    data.setup()
    return data


def network(name: str) -> Classifier:
    torch.manual_seed(0)
    return Classifier(
        name=name, library="timm", num_classes=2, weights="none", finetune="head",
        optimizer=functools.partial(torch.optim.SGD, lr=0.1),
    )  # fmt: skip


def obtained(model: Classifier, data: ImageDataModule) -> tuple[str, torch.Tensor]:
    """The file and the features of the training images."""
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    choices = Choices(quiet=True)
    features.use_features(model, data, trainer, choices)
    made = choices.as_dict()["features"]
    assert made["value"] == "cached", made
    return str(made["reason"]).rpartition("; ")[2], data.train_dataloader().dataset.features  # type: ignore[attr-defined]


def test_views_cut_from_the_cache_are_not_those_cut_from_the_images(root: Path, capsys: Any) -> None:
    model = network("mobilenetv3_small_050")
    plain, of_images = obtained(model, photos(root, augment=CROPS, views=2))
    kept, of_cache = obtained(model, photos(root, augment=CROPS, views=2, cache="disk"))
    assert plain != kept and not torch.equal(of_images, of_cache)
    again, found = obtained(model, photos(root, augment=CROPS, views=2, cache="disk"))
    assert (again, "built anew" in capsys.readouterr().err) == (kept, False)
    assert torch.equal(found, of_cache)


def test_without_crops_the_cached_images_are_the_same(root: Path) -> None:
    model = network("mobilenetv3_small_050")
    plain, _ = obtained(model, photos(root, augment={"hflip": 0.5}, views=2))
    assert obtained(model, photos(root, augment={"hflip": 0.5}, views=2, cache="disk"))[0] == plain


def test_the_same_weights_in_another_network_or_layout(root: Path) -> None:
    model, padded = network("efficientnet_b0"), network("tf_efficientnet_b0")
    padded.load_state_dict(model.state_dict())
    file, values = obtained(model, photos(root))
    other, others = obtained(padded, photos(root))
    assert file != other and not torch.equal(values, others)
    model.channels_last = True
    assert obtained(model, photos(root))[0] != file
