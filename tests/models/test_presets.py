"""Every YAML of conf/model, conf/optimizer and conf/scheduler builds what it says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig

from sweepmaker.models import Classifier

CONF = Path(__file__).parents[2] / "conf"


def _presets(group: str) -> list[str]:
    # own.yaml holds the place of a user's class
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "own")


def _compose(tmp_path: Path, **choices: str) -> DictConfig:
    groups = {"model": "efficientnet_b2", "optimizer": "adamw", "scheduler": "one_cycle"} | choices
    lines = [f"  - {group}: {choice}" for group, choice in groups.items()]
    (tmp_path / "app.yaml").write_text(
        "\n".join(
            [
                "defaults:",
                *lines,
                "  - _self_",
                "lr: 0.004",
                "hydra:",
                "  searchpath:",
                f"    - file://{CONF}",
            ]
        )
    )
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        return compose("app")


@pytest.mark.parametrize("preset", _presets("model"))
def test_model(tmp_path: Path, preset: str) -> None:
    cfg = _compose(tmp_path, model=preset)
    if cfg.model.weights == "auto":
        cfg.model.weights = "none"
    module = instantiate(cfg.model, num_classes=5)
    assert isinstance(module, Classifier)
    assert module.architecture()["name"] == cfg.model.name
    assert module.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 5)


@pytest.mark.parametrize("preset", _presets("optimizer"))
def test_optimizer(tmp_path: Path, preset: str) -> None:
    partial: Any = instantiate(_compose(tmp_path, optimizer=preset).optimizer)
    assert isinstance(partial, functools.partial)
    optimizer = partial([torch.nn.Parameter(torch.ones(2, 2))])
    assert optimizer.param_groups[0]["lr"] == 0.004
    # Checkpoints are read with weights_only, which knows no OmegaConf.
    assert {type(value) for value in optimizer.defaults.values()} <= {
        bool,
        float,
        int,
        tuple,
        list,
        type(None),
    }


@pytest.mark.parametrize("preset", _presets("scheduler"))
def test_scheduler(tmp_path: Path, preset: str) -> None:
    cfg = _compose(tmp_path, scheduler=preset)
    assert cfg.model.scheduler == cfg.scheduler
    partial = hydra.utils.instantiate(cfg.scheduler)
    assert partial is None if preset == "none" else isinstance(partial, functools.partial)


@pytest.mark.parametrize("group", ["model", "optimizer", "scheduler"])
def test_every_key_has_a_comment(group: str) -> None:
    for path in sorted((CONF / group).glob("*.yaml")):
        for line in path.read_text().splitlines():
            commented = "#" in line or line.startswith(("_target_:", "scheduler: null"))
            assert commented or not line, f"{path.name}: {line}"


@pytest.mark.parametrize(
    ("library", "name", "expected"),
    [
        ("torchvision", "efficientnet_b2", {"weights": "none"}),
        ("timm", "vit_tiny_patch16_224", {"weights": "none"}),
        ("torchvision", "vit_h_14", {}),  # its published weights make it another size
    ],
)
def test_before_a_checkpoint_nothing_is_fetched(library: str, name: str, expected: dict[str, str]) -> None:
    assert Classifier.arguments_before_checkpoint({"library": library, "name": name}) == expected
