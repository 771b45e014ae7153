"""The LightningModule under a real Trainer, on small networks and images."""

from __future__ import annotations

import functools
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchmetrics import Metric

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import Classifier, build_network
from tests.models.nets import CONV_HEAD, SMALL, adamw, classifier

ONE_CYCLE = functools.partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=3e-3)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def _numpy_state() -> str:
    return repr(np.random.get_state(legacy=False)["state"]["key"].tolist())


def _colours(count: int = 48, classes: int = 4) -> Dataset[tuple[torch.Tensor, ...]]:
    """Images [count, 3, 32, 32] whose class is their colour."""
    labels = torch.arange(count) % classes
    colours = torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, 1]])
    images = colours[labels][:, :, None, None] + 0.3 * torch.randn(count, 3, 32, 32)
    return TensorDataset(images, labels)


def _loader(count: int = 48) -> DataLoader[Any]:
    return DataLoader(_colours(count), batch_size=8)


def _trainer(**settings: Any) -> Trainer:
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return Trainer(**(quiet | settings))


def test_fit_learns_and_logs_every_name() -> None:
    module = classifier(scheduler=ONE_CYCLE, label_smoothing=0.1)
    trainer = _trainer(max_epochs=6)
    trainer.fit(module, _loader(), _loader(20))
    logged = trainer.callback_metrics
    names = {f"{split}/{name}" for split in ("train", "valid") for name in ("loss", "top1", "top5", "f1")}
    assert set(logged) == names | {"lr"}
    assert logged["train/top1"] > 0.9
    assert logged["lr"] < 1e-4  # one-cycle has come to its end
    matrix = module.confusion["valid"]
    assert int(matrix.sum()) == 20
    assert float(matrix.trace() / matrix.sum()) == pytest.approx(float(logged["valid/top1"]))
    (found,) = trainer.test(module, _loader(24), verbose=False)
    assert set(found) == {"test/loss", "test/top1", "test/top5", "test/f1"}
    assert int(module.confusion["test"].sum()) == 24


def test_epochs_do_not_run_into_each_other() -> None:
    module = classifier(optimizer=adamw(lr=0.0), name=CONV_HEAD)
    seen: list[int] = []
    compute = module.train_scores.compute

    def counting() -> dict[str, torch.Tensor]:
        values = compute()
        seen.append(int(module.train_scores.seen))
        return values

    module.train_scores.compute = counting  # type: ignore[method-assign]
    _trainer(max_epochs=3).fit(module, _loader(), _loader(8))
    assert seen == [48, 48, 48]
    metrics = [part for part in module.modules() if isinstance(part, Metric)]
    assert len(metrics) == 5
    assert int(module.valid_scores.seen) == 0


def test_validation_loss_has_no_label_smoothing() -> None:
    module = classifier(label_smoothing=0.9).eval()
    torch.nn.init.normal_(next(module.heads()[0].parameters()), std=50.0)
    batch = next(iter(_loader()))
    with torch.no_grad():
        module.validation_step(batch, 0)
        smoothed = module.training_step(batch, 0)
        plain = torch.nn.functional.cross_entropy(module(batch[0]), batch[1])
    torch.testing.assert_close(module.valid_scores.compute()["loss"], plain)
    torch.testing.assert_close(module.train_scores.compute()["loss"], smoothed)
    assert not torch.isclose(plain, smoothed)


@pytest.mark.parametrize("name", [SMALL, CONV_HEAD])
def test_head_trains_alone(name: str) -> None:
    module = classifier(name=name, finetune="head")
    heads = {id(parameter) for head in module.heads() for parameter in head.parameters()}
    before = {key: tensor.clone() for key, tensor in module.network.state_dict().items()}
    trainer = _trainer(max_epochs=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(module, _loader(), _loader(8))
    assert not [warning for warning in caught if "eval mode" in str(warning.message)]
    changed = {
        key for key, tensor in module.network.state_dict().items() if not torch.equal(tensor, before[key])
    }
    head = "fc." if name == SMALL else "classifier.1."
    assert changed == {f"{head}weight", f"{head}bias"}  # no running statistics either
    optimized = {
        id(parameter) for group in trainer.optimizers[0].param_groups for parameter in group["params"]
    }
    assert optimized == heads


def test_frozen_backbone_stays_in_eval_mode() -> None:
    module = classifier(name="mobilenet_v3_small", finetune="head")
    for _ in range(2):
        module.train()
        assert module.training
        assert [head.training for head in module.heads()] == [True]
        backbone = [part for part in module.network.modules() if part not in module.heads()]
        assert not any(part.training for part in backbone)
        images = torch.randn(2, 3, 32, 32)
        assert torch.equal(module(images), module(images))
        module.eval()
        assert not any(part.training for part in module.modules())
    assert all(part.training for part in classifier().train().network.modules())


def test_channels_last_changes_the_layout_only() -> None:
    module = classifier().eval()
    images = torch.randn(2, 3, 32, 32)
    expected = module(images)
    seen: list[bool] = []
    module.to(memory_format=torch.channels_last)
    module.channels_last = True
    module.network.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )
    torch.testing.assert_close(module(images), expected, rtol=1e-4, atol=1e-5)
    assert seen == [True]


def test_architecture_rebuilds_the_network() -> None:
    module = classifier(name="mobilenet_v3_small", dropout=0.35)
    twin = build_network(module.architecture())
    twin.load_state_dict(module.network.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(twin.eval()(images), module.eval()(images))
    rates = [part.p for part in twin.modules() if isinstance(part, torch.nn.Dropout)]
    assert rates == [0.35]


def test_checkpoint_holds_plain_data_and_gives_the_weights_back(tmp_path: Path) -> None:
    module = classifier(scheduler=ONE_CYCLE, optimizer=adamw(fused=True))
    trainer = _trainer()
    trainer.fit(module, _loader(16))
    path = tmp_path / "last.ckpt"
    trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    assert {key.split(".")[0] for key in content["state_dict"]} == {"network"}
    again = classifier(weights=str(path))
    assert again.weights_["head"] == "kept"
    expected = module.network.state_dict()
    assert all(torch.equal(expected[key], t) for key, t in again.network.state_dict().items())


def test_global_random_streams_are_left_alone_by_a_step() -> None:
    module = classifier(name=CONV_HEAD).eval()  # no dropout: torch's layers draw nothing
    batch = next(iter(_loader()))
    states = random.getstate(), _numpy_state(), torch.get_rng_state()
    module.training_step(batch, 0)
    module.validation_step(batch, 0)
    assert random.getstate() == states[0]
    assert _numpy_state() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_fixed_image_size_is_said_before_the_network_breaks() -> None:
    with torch.device("meta"):
        module = classifier(name="vit_b_32")
        with pytest.raises(ConfigError, match="takes 224 px, got 64") as caught:
            module(torch.zeros(2, 3, 64, 64))
    assert caught.value.fix == "image_size=224"


def test_plateau_follows_the_validation_loss() -> None:
    plateau = functools.partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.1, threshold=10.0
    )
    module = classifier(scheduler=plateau)
    trainer = _trainer(max_epochs=3)
    trainer.fit(module, _loader(16), _loader(8))
    assert trainer.optimizers[0].param_groups[0]["lr"] < 1e-3


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"finetune": "haed"}, "model.finetune"),
        ({"dropout": 1.0}, "model.dropout"),
        ({"dropout": -0.1}, "model.dropout"),
        ({"dropout": 0.1, "finetune": "head"}, "model.dropout"),
        ({"label_smoothing": 1.5}, "model.label_smoothing"),
        ({"scheduler_interval": "batch"}, "model.scheduler_interval"),
        ({"num_classes": 1}, "data"),
        ({"weights": "no-such"}, "model.weights"),
        ({"name": "no-such"}, "model.name"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        classifier(**settings)
    assert caught.value.key == key


@pytest.mark.slow
def test_lightning_is_not_needed_to_rebuild_a_network() -> None:
    import subprocess
    import sys

    code = "import sys; from sweepmaker.models import build_network; assert 'lightning' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        from sweepmaker import models

        models.nothing  # noqa: B018
    assert Classifier.__name__ == "Classifier"


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_new_head_starts_small(library: str) -> None:
    """EfficientNet's own start for 10 classes is 11 times as wide: a head alone doesn't get over it."""
    name = "efficientnet_b0"
    module = classifier(name=name, library=library, finetune="head", num_classes=10)
    (head,) = module.heads()
    assert isinstance(head, torch.nn.Linear)
    assert head.weight.abs().max() <= head.in_features**-0.5


def test_kept_head_is_not_started_again(tmp_path: Path) -> None:
    saved = classifier()
    torch.save(saved.network.state_dict(), tmp_path / "net.pt")
    again = classifier(weights=str(tmp_path / "net.pt"), finetune="head")
    assert torch.equal(again.heads()[0].get_parameter("weight"), saved.heads()[0].get_parameter("weight"))
