"""Modules that step by themselves: seldom, or with several optimizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.debugger.networks import Batch, Net, adam, conv_net
from tests.debugger.test_lightning import fit, records

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|num_workers).*")


class Seldom(Net):
    """Steps by itself, once in four batches."""

    def __init__(self, network: nn.Module, optimizer: Any) -> None:
        super().__init__(network, optimizer)
        self.automatic_optimization = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        optimizer: Any = self.optimizers()
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss)
        if batch_idx % 4 == 3:
            optimizer.step()
            optimizer.zero_grad()
        return loss


def test_a_module_that_steps_by_itself_is_sampled_where_it_steps(tmp_path: Path) -> None:
    fit(tmp_path, {"rules": {"VanishingGradient": {}}}, Seldom(conv_net(), adam()))
    steps = records(tmp_path, "step")
    assert [one["step"] for one in steps] == list(range(10))
    assert all(one["columns"]["update_mean"][0] > 0 for one in steps)
    assert len(steps[1]["losses"]) == 4


class Adversarial(Net):
    """Two optimizers that step by themselves: the first network in every batch, the second in every fifth."""

    def __init__(self, network: nn.Module, optimizer: Any) -> None:
        super().__init__(network, optimizer)
        self.automatic_optimization = False
        self.maker = nn.Linear(4, 64)
        self.forgotten = nn.Linear(64, 64)

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        ours, makers = self.optimizers()  # type: ignore[misc, attr-defined]
        self._step(ours, nn.functional.cross_entropy(self(batch[0]), batch[1]))
        if batch_idx % 5 == 0:  # which leaves gradients in the first network too
            made = self.forgotten(self.maker(torch.randn(len(batch[0]), 4))).view_as(batch[0])
            self._step(makers, nn.functional.cross_entropy(self(made), batch[1]))

    def _step(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def configure_optimizers(self) -> Any:
        return self._make(self.network.parameters()), self._make(self.maker.parameters())


def test_each_of_several_optimizers_is_seen_where_it_steps(tmp_path: Path) -> None:
    rules = {"UnchangedTensor": {}, "VanishingGradient": {}, "WeightUpdateRatio": {"small_threshold": 1e-12}}
    fit(tmp_path, {"every_n_steps": 3, "rules": rules}, Adversarial(conv_net(), adam()), epochs=2)
    steps = records(tmp_path, "step")
    names = records(tmp_path, "names")[0]["parameters"]
    places = {name: names.index(f"{name}.weight") for name in ("network.0", "maker", "forgotten")}
    seen = {name: [one["columns"]["update_max"][place] for one in steps] for name, place in places.items()}
    assert len(steps) > 20 and all(change > 0 for change in seen["network.0"])
    idle = np.isnan(seen["maker"])
    assert idle.any() and not idle.all(), "where it does not step nothing is known of it"
    assert all(
        one["columns"]["grad_mean"][places["maker"]] > 0
        for one, none in zip(steps, idle, strict=True)
        if not none
    )
    assert all(change > 0 for change, none in zip(seen["maker"], idle, strict=True) if not none)
    found = json.loads((tmp_path / "debugger" / "findings.json").read_text())["rules"]
    assert {name: rule["count"] > 0 for name, rule in found.items()} == {
        "UnchangedTensor": True, "VanishingGradient": False, "WeightUpdateRatio": False,
    }  # fmt: skip
    assert {one["where"] for one in found["UnchangedTensor"]["findings"]} == {"forgotten"}
