"""Real networks with a fault built in: its rule fires in time, at the right layer; healthy ones are quiet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.debugger.networks import (
    Net,
    Slow,
    adam,
    conv_net,
    deep_net,
    digits,
    fired,
    loaders,
    sgd,
    train,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|fault_tolerant|num_workers).*")


def scaled(network: nn.Sequential, factor: float) -> nn.Sequential:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return network


class Forgotten(Net):
    """The second convolution was left out of the optimizer."""

    def trained(self) -> Iterator[nn.Parameter]:
        return (each for name, each in self.named_parameters() if not name.startswith("network.3."))


class Behind(nn.Module):
    """Hides a layer behind a product with zero."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(10, 10)

    def forward(self, x: Tensor) -> Tensor:
        return x + 0 * self.layer(x)


def dead() -> nn.Sequential:
    network = conv_net(norm=False)
    nn.init.constant_(network[2].bias, -50.0)  # type: ignore[arg-type]
    return network


def shuffled() -> list[Any]:
    images, labels = digits()
    return loaders(images, labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))])


def imbalanced() -> list[Any]:
    images, labels = digits()
    rare = torch.nonzero(labels[:1400] == 7).flatten()[3:]
    kept = torch.ones(len(labels), dtype=torch.bool)
    kept[rare] = False
    return loaders(images[kept], labels[kept], train=1400 - len(rare))


def pixels(divisor: float) -> list[Any]:
    images, labels = digits()
    return loaders((images - images.min()) * 4.8 / divisor, labels)


def hanging() -> list[Any]:
    first, rest = loaders(*digits())
    return [Slow(first, 1.2), rest]


# name: what to train with the fault, where the rule has to fire first (its beginning), by which step
FAULTS: dict[str, tuple[dict[str, Any], str, int]] = {
    "VanishingGradient": ({"network": lambda: deep_net(nn.Sigmoid, 9), "optimizer": sgd()}, "network.1", 10),
    "ExplodingTensor": ({"network": lambda: conv_net(norm=False), "optimizer": sgd(1e4)}, "loss", 10),
    "LossNotDecreasing": (
        {"network": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), "data": shuffled,
         "optimizer": sgd(0.02), "epochs": 15}, "loss", 600),
    "Overfit": (
        {"network": lambda: deep_net(nn.ReLU, 3, 256), "data": lambda: loaders(*digits(), train=40, batch=8),
         "epochs": 60, "optimizer": adam(1e-2)}, "valid/loss", 10_000),
    "Overtraining": ({"epochs": 16, "optimizer": adam(1e-2)}, "valid/loss", 10_000),
    "WeightUpdateRatio": ({"optimizer": adam(0.1)}, "", 10),
    "AllZero": ({"network": lambda: nn.Sequential(conv_net(), Behind())}, "network.1.layer", 10),
    "UnchangedTensor": ({"module": Forgotten}, "network.3", 10),
    "TensorVariance": ({"network": lambda: scaled(conv_net(), 300.0)}, "", 10),
    "PoorWeightInitialization": ({"network": lambda: scaled(deep_net(nn.ReLU, 6), 12.0)}, "", 10),
    "SaturatedActivation": (
        {"network": lambda: scaled(deep_net(nn.Sigmoid, 4), 2000.0), "optimizer": sgd()}, "", 10),
    "DeadRelu": ({"network": dead}, "network.3", 10),
    "ClassImbalance": ({"data": imbalanced, "epochs": 1}, "class 7", 50),
    "Confusion": ({"data": shuffled, "epochs": 1}, "class", 50),
    "CheckInputImages": ({"data": lambda: pixels(16.0), "epochs": 1}, "channel 0", 30),
    "StalledTraining": (
        {"data": hanging, "epochs": 1, "rules": {"StalledTraining": {"threshold": 0.6}}}, "training", 10),
}  # fmt: skip


def made(settings: dict[str, Any]) -> dict[str, Any]:
    lazy = ("network", "data")
    return {name: value() if name in lazy else value for name, value in settings.items()}


def marked(names: Iterable[str], slow: set[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) if name in slow else name for name in names]


@pytest.mark.parametrize("rule", marked(FAULTS, {"Overfit", "Overtraining", "LossNotDecreasing"}))
def test_the_rule_finds_its_fault(rule: str, tmp_path: Path) -> None:
    settings, where, by_step = FAULTS[rule]
    document = train(tmp_path, **made(settings))
    report = document["rules"][rule]
    assert report["status"] == "IssuesFound", fired(document)
    first = report["findings"][0]
    assert first["where"].startswith(where)
    assert first["step"] <= by_step
    assert first["meaning"] and first["advice"]
    assert f"the rule {rule} at step {first['step']}" in report["reason"]


@pytest.mark.parametrize(("first", "steps"), [(nn.init.zeros_, [0]), (nn.init.xavier_uniform_, [])])
def test_dead_relu_by_aws_vector(first: Any, steps: list[int], tmp_path: Path) -> None:
    network = deep_net(nn.ReLU, 3)
    first(network[1].weight)
    nn.init.zeros_(network[1].bias)  # type: ignore[arg-type]
    once = {"data": loaders(*digits(), batch=128), "optimizer": sgd(0.0), "max_steps": 1, "preset": "aws"}
    found = train(tmp_path, network, **once)["rules"]["DeadRelu"]["findings"]
    assert [one["step"] for one in found] == steps


HEALTHY: dict[str, dict[str, Any]] = {
    "convolutions": {"epochs": 6},
    "SiLU": {"network": lambda: conv_net(nn.SiLU), "epochs": 4},
    "sgd": {"optimizer": sgd(momentum=0.9), "epochs": 4},
    "without normalisation": {"network": lambda: conv_net(norm=False), "epochs": 4},
    "tanh": {"network": lambda: deep_net(nn.Tanh, 4), "epochs": 4},
    "accumulated": {"accumulate_grad_batches": 4, "epochs": 4},
}


@pytest.mark.parametrize("name", marked(HEALTHY, set(HEALTHY) - {"tanh"}))
def test_a_healthy_network_lets_no_rule_fire(name: str, tmp_path: Path) -> None:
    document = train(tmp_path, **made(HEALTHY[name]))
    assert fired(document) == {}
    assert {rule["status"] for rule in document["rules"].values()} == {"NoIssuesFound"}


@pytest.mark.slow
def test_a_run_that_differs_from_another_is_told(tmp_path: Path) -> None:
    for name in ("first", "same"):
        rules = {"SimilarAcrossRuns": {"other_trials": [str(tmp_path / "first")]}} if name == "same" else None
        same = train(tmp_path / name, epochs=1, rules=rules)
    assert fired(same) == {}
    rules = {"SimilarAcrossRuns": {"other_trials": [str(tmp_path / "first")]}}
    other = train(tmp_path / "other", epochs=1, rules=rules, optimizer=adam(1.1e-3))
    assert fired(other) == {"SimilarAcrossRuns": "loss"}
    assert other["rules"]["SimilarAcrossRuns"]["findings"][0]["step"] == 1
