"""What is decayed, and how long a schedule is."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.optim import lr_scheduler

from sweepmaker.config.errors import ConfigError
from sweepmaker.models.optimization import build_optimizer, build_schedule, parameter_groups
from tests.models.nets import adamw


def _network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))


def _trainer(steps: float = 120, epochs: int = 3) -> Trainer:
    return cast(Trainer, SimpleNamespace(estimated_stepping_batches=steps, max_epochs=epochs))


def _schedule(kind: Any, interval: str = "auto", **settings: Any) -> dict[str, Any]:
    optimizer = build_optimizer(adamw(), parameter_groups(_network()))
    return build_schedule(functools.partial(kind, **settings), optimizer, _trainer(), interval)


def test_norms_and_biases_are_not_decayed() -> None:
    network = _network()
    optimizer = build_optimizer(adamw(weight_decay=0.3), parameter_groups(network))
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(decays) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decays[id(parameter)] == (0.3 if name in ("0.weight", "2.weight") else 0.0)


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    network = _network().requires_grad_(False)
    network[2].weight.requires_grad_(True)
    (group,) = parameter_groups(network)
    assert [parameter.shape for parameter in group["params"]] == [(2, 4)]


@pytest.mark.parametrize("fused", [True, False])
def test_fused_adamw_works_on_cpu(fused: bool) -> None:
    network = _network()
    layer = cast(nn.Linear, network[2])
    before = layer.weight.detach().clone()
    layer(torch.ones(1, 4)).sum().backward()
    build_optimizer(adamw(fused=fused), parameter_groups(network)).step()
    assert not torch.equal(before, layer.weight)


@pytest.mark.parametrize("settings", [{"lr": -1.0}, {"wieght_decay": 0.1}])
def test_settings_that_the_optimizer_refuses(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="AdamW") as caught:
        build_optimizer(adamw(**settings), parameter_groups(_network()))
    assert caught.value.key == "optimizer"
    assert "weight_decay" in str(caught.value.allowed)


@pytest.mark.parametrize(
    ("kind", "settings", "length"),
    [
        (lr_scheduler.OneCycleLR, {"max_lr": 0.1}, "total_steps"),
        (lr_scheduler.CosineAnnealingLR, {}, "T_max"),
        (lr_scheduler.PolynomialLR, {"power": 2}, "total_iters"),
    ],
)
def test_length_of_the_run_goes_where_the_schedule_takes_it(
    kind: type, settings: dict[str, Any], length: str
) -> None:
    by_step = _schedule(kind, **settings)
    assert by_step["interval"] == "step"
    assert getattr(by_step["scheduler"], length) == 120
    by_epoch = _schedule(kind, "epoch", **settings)
    assert by_epoch["interval"] == "epoch"
    assert getattr(by_epoch["scheduler"], length) == 3


def test_length_from_the_config_stays() -> None:
    entry = _schedule(lr_scheduler.CosineAnnealingLR, T_max=7)
    assert (entry["scheduler"].T_max, entry["interval"]) == (7, "epoch")
    assert _schedule(lr_scheduler.CosineAnnealingLR, "step", T_max=7)["interval"] == "step"


def test_schedules_without_a_length_go_by_epoch() -> None:
    assert _schedule(lr_scheduler.StepLR, step_size=2)["interval"] == "epoch"
    assert _schedule(lr_scheduler.ReduceLROnPlateau)["monitor"] == "valid/loss"


@pytest.mark.parametrize(("interval", "trainer"), [("step", (float("inf"), 3)), ("epoch", (9, -1))])
def test_endless_run(interval: str, trainer: tuple[float, int]) -> None:
    optimizer = build_optimizer(adamw(), parameter_groups(_network()))
    partial = functools.partial(lr_scheduler.CosineAnnealingLR)
    with pytest.raises(ConfigError, match="known length"):
        build_schedule(partial, optimizer, _trainer(*trainer), interval)


def test_settings_that_the_schedule_refuses() -> None:
    with pytest.raises(ConfigError, match="OneCycleLR") as caught:
        _schedule(lr_scheduler.OneCycleLR, max_lr=0.1, pct_start=3.0)
    assert caught.value.key == "scheduler"
