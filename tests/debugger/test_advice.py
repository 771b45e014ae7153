"""What a finding says fits the run: its classes by name, and no keys that a class of the user's own lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.debugger import engine, settings
from sweepmaker.debugger.observations import Images, Labels, Names, Stall, Step
from sweepmaker.debugger.rules import BUILT_IN, Finding, Rule
from tests.debugger.streams import evaluation, found, step
from tests.integration.runs import train


def made(name: str, **parameters: Any) -> Rule:
    return BUILT_IN[name](**parameters)


IMAGES = Images(1, 0, 500, [0.9], [0.2], [0.0], [1.0])
EXPLODED = step(0, losses=[float("nan")])


@dataclass
class Mine(Rule):
    """Knows the user's own keys."""

    def on_step(self, step: Step) -> Any:
        yield Finding(step.step, step.epoch, "x", 1.0, 0.0, "m", "a", "model.width=64")


@pytest.mark.parametrize(
    ("own", "left"),
    [
        ([], {"lr=0.01", "data.stats=data", "data.num_workers=0", "model.width=64"}),
        (["model"], {"data.stats=data", "data.num_workers=0", "model.width=64"}),
        (["data"], {"lr=0.01", "model.width=64"}),
        (["data", "model"], {"model.width=64"}),
    ],
)
def test_only_keys_that_there_are_are_advised(own: list[str], left: set[str]) -> None:
    rules: dict[str, Any] = {"ExplodingTensor": {}, "CheckInputImages": {}, "StalledTraining": {}}
    rules["Mine"] = {"_target_": f"{__name__}.Mine"}
    asked = engine.Engine(settings.check({"rules": rules}).rules)
    asked.own = own
    for observation in (EXPLODED, IMAGES, Stall(0, 0, 1e6)):
        asked.show(observation)
    findings = [report.findings[0] for report in asked.reports.values()]
    assert len(findings) == 4 and all(one.advice for one in findings)
    assert {one.override for one in findings} - {None} == left


def test_images_that_hold_nothing_are_not_called_badly_normalised() -> None:
    images = Images(15, 0, 500, [0.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3)
    (finding,) = found(made("CheckInputImages", range=True), [images])
    assert "they hold nothing" in finding.meaning and finding.override is None
    assert found(made("CheckInputImages"), [images]) == []


def test_a_loss_that_stays_is_not_told_to_join_the_optimizer() -> None:
    (finding,) = found(made("UnchangedTensor"), [step(number, losses=[2.3]) for number in range(3)])
    assert finding.where == "loss" and "optimizer" not in finding.advice


def test_classes_are_shown_with_their_names() -> None:
    named = Names([], [], class_names=["cat", "dog", "2"])
    few = found(made("ClassImbalance"), [Labels(0, 0, [50, 3, 40], whole=True, names=named)])
    assert few[0].where == "class 1 (dog)" and "50 images of class 0 (cat)" in few[0].meaning
    seen = replace(evaluation(1.0, 1.0, matrix=[[2, 8, 0], [0, 10, 0], [0, 0, 10]]), names=named)
    assert [one.where for one in found(made("Confusion"), [seen])] == [
        "class 0 (cat)",
        "class 0 (cat) as 1 (dog)",
    ]
    assert named.shown(2) == "2" and named.shown(9) == "9"


@pytest.mark.slow
def test_a_module_of_ones_own_is_not_told_our_words(tmp_path: Path) -> None:
    own = "tests.integration.own_code"
    folder = tmp_path / "run"
    ended = train(
        "model=own", f"model._target_={own}.OwnModule", "+model.lr=0.01", "data=own",
        f"data._target_={own}.OwnData", "+data.batch_size=50", "objective.name=val_acc", "epochs=1",
        "test=false", "debugger=aws", f"hydra.run.dir={folder}", PYTHONPATH=str(Path(__file__).parents[2]),
    )  # fmt: skip
    assert ended.code == 0, ended.err
    rules = json.loads((folder / "debugger" / "findings.json").read_text())["rules"]
    overrides = {one["override"] for report in rules.values() for one in report["findings"]}
    assert any(report["count"] for report in rules.values())
    assert not any(word and word.startswith(("lr=", "model.", "optimizer.")) for word in overrides)
