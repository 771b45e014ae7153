"""In Lightning: own modules, torch.compile, stopping, faults of the debugger itself, two processes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import nn

from sweepmaker.debugger import batches, settings, store
from sweepmaker.debugger.callback import Debugger
from sweepmaker.debugger.observations import Observation
from sweepmaker.debugger.rules import Rule
from tests.debugger import two_processes
from tests.debugger.networks import Net, adam, conv_net, deep_net, digits, loaders, train

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|num_workers).*")


@dataclass
class Broken(Rule):
    """A rule with a mistake."""

    def observe(self, observation: Observation) -> Any:
        raise ZeroDivisionError("my mistake")


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
    node = {"rules": {"Mine": {"_target_": f"{__name__}.Broken"}, "ExplodingTensor": {}}}
    fit(tmp_path, node, Net(conv_net(), adam()))
    rules = json.loads((tmp_path / "debugger" / "findings.json").read_text())["rules"]
    assert (rules["Mine"]["status"], rules["Mine"]["reason"]) == ("Error", "ZeroDivisionError: my mistake")
    assert rules["ExplodingTensor"]["status"] == "NoIssuesFound"


def test_a_fault_of_the_debugger_itself_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "images_of", lambda batch: 1 / 0)
    module = Net(conv_net(), adam())
    document = train(tmp_path, module.network)
    assert {rule["status"] for rule in document["rules"].values()} == {"Error"}
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.network.modules())


def test_a_finding_can_stop_the_run_and_the_best_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {"rules": {"WeightUpdateRatio": {"large_threshold": 0.1, "action": "stop"}, "Overfit": {}}}
    debugger = fit(tmp_path, node, Net(conv_net(), adam(0.1)), epochs=5)
    assert debugger.stopped is not None
    assert (debugger.stopped["rule"], debugger.stopped["step"]) == ("WeightUpdateRatio", 0)
    assert len(records(tmp_path, "step")) == 1
    assert len(records(tmp_path, "evaluation")) == 1, "the validation that finds the best model"
    assert capsys.readouterr().err.count("debugger: WeightUpdateRatio at step 0") == 1


def test_activations_of_any_module_are_watched_and_no_hook_stays(tmp_path: Path) -> None:
    module = Net(deep_net(nn.GELU, 3), adam())
    fit(tmp_path, {"rules": {"DeadRelu": {}}}, module)
    names = records(tmp_path, "names")[0]
    assert (names["activations"], names["types"]) == (["2", "4"], ["silu", "silu"])
    assert names["parameters"][0] == "1.weight"
    assert any(one["inactive"] for one in records(tmp_path, "step"))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


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
