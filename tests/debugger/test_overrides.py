"""What a finding advises to type is a config that train.py takes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from sweepmaker.config import schema
from sweepmaker.debugger.observations import Images, Labels, Names, Observation, Stall
from sweepmaker.debugger.rules import BUILT_IN
from tests.debugger.streams import NAMES, evaluation, found, step

CONF = Path(__file__).parents[2] / "conf"
SIGMOID = Names(["a.weight"], [[2, 2]], ["x", "y"], ["sigmoid", "relu"], classes=10)
INACTIVE = {0: [1.0] * 6, 1: [1.0] * 6}
# a stream on which the rule fires
STREAMS: dict[str, list[Observation]] = {
    "VanishingGradient": [step(0, grad_mean=[1.0, 1.0, 0.0])],
    "ExplodingTensor": [step(0, losses=[float("nan")]), step(1, losses=[float("nan")], lr=0.0)],
    "Overfit": [step(0, losses=[2.3]), evaluation(2.0, 1.0)],
    "Overtraining": [evaluation(max(1.0, 2.0 - number), 1.0, number) for number in range(13)],
    "WeightUpdateRatio": [
        step(number, grad_mean=[1, 1, 1], weight_mean=[1, 1, 1], update_mean=[size] * 3)
        for number, size in enumerate((1e-12, 100.0))
    ],
    "PoorWeightInitialization": [step(0, names=SIGMOID, input_var=[1.0, 50.0])],
    "SaturatedActivation": [step(0, names=SIGMOID, inactive=INACTIVE)],
    "DeadRelu": [step(0, names=SIGMOID, inactive=INACTIVE)],
    "ClassImbalance": [Labels(0, 0, [990, 10], whole=True)],
    "CheckInputImages": [Images(1, 0, 500, [0.5], [0.2], [0.0], [1.0])],
    "StalledTraining": [Stall(1, 0, 1e6)],
}


def overrides(rules: Iterable[str]) -> set[tuple[str, str]]:
    return {
        (rule, finding.override)
        for rule in rules
        for finding in found(BUILT_IN[rule](), STREAMS[rule])
        if finding.override
    }


@pytest.mark.parametrize("rule", STREAMS)
def test_what_is_advised_can_be_typed(rule: str, tmp_path: Path) -> None:
    advised = overrides([rule])
    assert advised, "the rule has to fire"
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for optimizer in ("adamw", "sgd"):
            for _, words in advised:
                typed = [f"optimizer={optimizer}", *words.split(), f"hydra.runtime.output_dir={tmp_path}"]
                cfg = compose("train", overrides=typed, return_hydra_config=True)
                HydraConfig.instance().set_config(cfg)
                del cfg.__dict__["_content"]["hydra"]
                schema.validate(cfg)


def test_weights_that_were_loaded_are_not_advised_again() -> None:
    loaded = Names(["a.weight"], [[2, 2]], fresh=False)
    findings = found(BUILT_IN["VanishingGradient"](), [step(0, names=loaded, grad_mean=[0.0])])
    assert [finding.override for finding in findings] == [None]
    assert NAMES.fresh
