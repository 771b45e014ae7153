"""In Lightning: own modules, torch.compile, stopping, faults of the debugger itself, two processes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import nn

from sweepmaker.debugger import batches, settings, store
from sweepmaker.debugger.callback import Debugger
from sweepmaker.debugger.observations import Observation, Step
from sweepmaker.debugger.rules import Finding, Rule
from tests.debugger import two_processes
from tests.debugger.networks import Batch, Net, adam, conv_net, deep_net, digits, loaders, sgd, train

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|num_workers).*")


@dataclass
class Broken(Rule):
    """A rule with a mistake."""

    def observe(self, observation: Observation) -> Any:
        raise ZeroDivisionError("my mistake")


@dataclass
class Odd(Rule):
    """Gives what is no finding."""

    def observe(self, observation: Observation) -> Any:
        return ["something"]


@dataclass
class Numbers(Rule):
    """Gives NumPy's numbers."""

    def on_step(self, step: Step) -> Any:
        yield Finding(np.int64(step.step), step.epoch, "x", np.float32(0.5), np.float32(0.25), "m", "a")  # type: ignore[arg-type]


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [one for one in store.read(folder / "debugger" / store.NAME) if one["kind"] == kind]


def fit(folder: Path, node: dict[str, Any], module: Net, epochs: int = 1, **options: Any) -> Debugger:
    seed_everything(3, verbose=False)
    debugger = Debugger(settings.check(node), folder / "debugger")
    trainer = Trainer(
        accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        default_root_dir=folder, callbacks=[debugger], **options,
    )  # fmt: skip
    trainer.fit(module, *loaders(*digits()))
    return debugger


def test_a_rule_that_fails_is_an_error_and_hurts_nobody(tmp_path: Path) -> None:
    own = {name: {"_target_": f"{__name__}.{name}"} for name in ("Odd", "Numbers")}
    node = {"rules": {"Mine": {"_target_": f"{__name__}.Broken"}, "ExplodingTensor": {}, **own}}
    fit(tmp_path, node, Net(conv_net(), adam()))
    rules = json.loads((tmp_path / "debugger" / "findings.json").read_text())["rules"]
    assert rules["Mine"]["status"] == "Error"
    assert re.fullmatch(
        r"ZeroDivisionError: my mistake \(test_lightning.py, line \d+\)", rules["Mine"]["reason"]
    )
    assert rules["ExplodingTensor"]["status"] == "NoIssuesFound"
    assert rules["Odd"]["reason"] == "TypeError: observe gave 'something', which is no Finding"
    assert (rules["Numbers"]["findings"][0]["value"], rules["Numbers"]["findings"][0]["step"]) == (0.5, 0)


def test_a_fault_of_the_debugger_itself_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "images_of", lambda batch: 1 / 0)
    module = Net(conv_net(), adam())
    document = train(tmp_path, module.network)
    assert {rule["status"] for rule in document["rules"].values()} == {"Error"}
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.network.modules())


class Follower:
    """A trainer of a process that is not the first, or one that failed before it began."""

    is_global_zero = False


def test_only_the_first_process_writes_what_was_found(tmp_path: Path) -> None:
    node = {"rules": {"WeightUpdateRatio": {"large_threshold": 0.1}}}
    fit(tmp_path, node, Net(conv_net(), adam(0.1)))
    path = tmp_path / "debugger" / "findings.json"
    found = path.read_bytes()
    assert b"IssuesFound" in found
    other: Any = Debugger(settings.check(node), tmp_path / "debugger")
    other.on_exception(Follower(), None, RuntimeError())
    other.turn_off(Follower(), "broken")
    assert path.read_bytes() == found
    first = Follower()
    first.is_global_zero = True
    again: Any = Debugger(settings.check(node), tmp_path / "debugger")
    again.on_exception(first, None, RuntimeError("before the training goes on"))
    assert path.read_bytes() == found, "a run that could not be resumed keeps its findings"


def test_activations_of_any_module_are_watched_and_no_hook_stays(tmp_path: Path) -> None:
    module = Net(deep_net(nn.GELU, 3), adam())
    fit(tmp_path, {"rules": {"DeadRelu": {}}}, module)
    names = records(tmp_path, "names")[0]
    assert (names["activations"], names["types"]) == (["network.2", "network.4"], ["silu", "silu"])
    assert names["parameters"][0] == "network.1.weight"
    assert any(one["inactive"] for one in records(tmp_path, "step"))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


class Renamed(Net):
    """Calls its validation loss as nobody else does."""

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.log(self.called, nn.functional.cross_entropy(self(batch[0]), batch[1]))  # type: ignore[arg-type]


@pytest.mark.parametrize(("called", "found"), [("valid/ce_loss", True), ("quality", False)])
def test_validations_are_seen_whatever_their_loss_is_called(called: str, found: bool, tmp_path: Path) -> None:
    module = Renamed(conv_net(), adam())
    module.called = called  # type: ignore[assignment]
    fit(tmp_path, {"rules": {"Confusion": {}}}, module, limit_train_batches=2)
    (seen,) = records(tmp_path, "evaluation")
    assert (seen["loss"] is not None) is found
    assert sum(seen["support"]) == 397, "predictions need no loss"


class Gradual(Net):
    """The head trains alone for an epoch."""

    def on_train_epoch_start(self) -> None:
        self.network.requires_grad_(self.current_epoch > 0)
        self.network[-1].requires_grad_(True)  # type: ignore[index, union-attr]

    on_train_start = on_train_epoch_start


def test_layers_that_are_freed_on_the_way_are_watched_from_then_on(tmp_path: Path) -> None:
    module = Gradual(conv_net(), adam())
    module.on_train_epoch_start = module.on_train_start = lambda: Gradual.on_train_epoch_start(module)  # type: ignore[method-assign]
    module.network.requires_grad_(False)
    module.network[-1].requires_grad_(True)  # type: ignore[index, union-attr]
    fit(tmp_path, {"rules": {"VanishingGradient": {}}}, module, epochs=2)
    names = [one["parameters"] for one in records(tmp_path, "names")]
    assert names[0] == ["network.10.weight", "network.10.bias"]
    assert len(names) == 2 and names[1][0] == "network.0.weight" and names[1][-2:] == names[0]
    last = records(tmp_path, "step")[-1]["columns"]
    assert all(value > 0 for value in last["grad_mean"]) and len(last["grad_mean"]) == len(names[1])


def test_in_a_very_long_run_samples_move_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweepmaker.debugger.sampler.SAMPLES_BEFORE_DOUBLING", 8)
    monkeypatch.setattr("sweepmaker.debugger.callback.EVERY_N_STEPS", 2)
    steps = {}
    for every in ("auto", 2):
        folder = tmp_path / str(every)
        node = {"every_n_steps": every, "first_steps": 4, "rules": {"DeadRelu": {}}}
        fit(folder, node, Net(conv_net(), adam()), epochs=3)
        steps[every] = [one["step"] for one in records(folder, "step")]
        assert sum(len(one["losses"]) for one in records(folder, "step")) == steps[every][-1] + 1
    assert steps[2] == [0, 1, 2, 3, *range(4, 129, 2)], "a number of the user's own stays"
    assert steps["auto"] == [0, 1, 2, 3, *range(4, 12, 2), *range(12, 44, 4), *range(48, 112, 8), 112, 128]


def test_losses_are_those_of_a_batch_however_many_make_a_step(tmp_path: Path) -> None:
    losses, network = [], conv_net()
    for parts in (1, 4):
        folder = tmp_path / str(parts)
        fit(folder, {"rules": {"Overfit": {}}}, Net(network, sgd(0.0)), accumulate_grad_batches=parts)
        losses.append(
            [records(folder, "step")[0]["losses"][0], records(folder, "evaluation")[0]["train_loss"]]
        )
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_gradients_are_unscaled_also_where_a_fused_optimizer_does_it(tmp_path: Path) -> None:
    taken = []
    for fused in (False, True):
        folder = tmp_path / str(fused)
        precision = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))
        torch.manual_seed(0)
        module = Net(conv_net(), adam(fused=fused))
        rules = {"rules": {"PoorWeightInitialization": {}}}
        fit(folder, rules, module, limit_train_batches=2, plugins=[precision])
        taken.append(records(folder, "step")[0]["columns"])
    for column in ("grad_mean", "grad_l2", "grad_max", "grad_nonzero", "grad_p5", "grad_p95"):
        assert taken[1][column] == pytest.approx(taken[0][column], rel=1e-3, abs=1e-9), column


@pytest.mark.slow
def test_a_compiled_network_keeps_its_graph(tmp_path: Path) -> None:
    graphs: list[int] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(len(inputs))
        return graph.forward

    counted = {}
    with_rules: dict[str, Any] = {"rules": {"VanishingGradient": {}, "Confusion": {}}}
    for name, node in (("without", {"rules": {}}), ("with", with_rules)):
        graphs.clear()
        torch._dynamo.reset()
        module = Net(torch.compile(conv_net(nn.SiLU), backend=backend), adam())  # type: ignore[arg-type]
        fit(tmp_path / name, node, module, limit_train_batches=40)
        counted[name] = len(graphs)
    assert counted["with"] == counted["without"] > 0
    fit(tmp_path / "eager", with_rules, Net(conv_net(nn.SiLU), adam()), limit_train_batches=40)
    compiled, eager = (records(tmp_path / name, "step") for name in ("with", "eager"))
    assert records(tmp_path / "with", "names")[0]["activations"] == []
    for one, other in zip(compiled, eager, strict=True):
        for column in ("grad_mean", "update_mean", "weight_mean"):
            assert one["columns"][column] == pytest.approx(other["columns"][column], rel=1e-3, abs=1e-9)
    assert records(tmp_path / "with", "evaluation")[0]["support"], (
        "predictions are found outside of the graph"
    )


@pytest.mark.slow
def test_two_processes_report_what_one_does_with_the_joint_batch(tmp_path: Path) -> None:
    two_processes.run(tmp_path, processes=2)
    two_processes.run(tmp_path, processes=1)
    one, two = (records(tmp_path / str(count), "step") for count in (1, 2))
    assert len(one) == len(two) > 5
    for ours, joint in zip(two, one, strict=True):
        assert ours["losses"] == pytest.approx(joint["losses"], rel=1e-4)
        for column in joint["columns"]:
            same = pytest.approx(joint["columns"][column], rel=2e-3, abs=1e-7)
            assert ours["columns"][column] == same, column
    both = [next(one for one in records(tmp_path / str(count), "evaluation")) for count in (1, 2)]
    assert both[0]["support"] == both[1]["support"]
