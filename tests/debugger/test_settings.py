"""The ``debugger`` node: presets, refusals, rules of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.debugger import settings
from sweepmaker.debugger.rules import BUILT_IN, Rule

CONF = Path(__file__).parents[2] / "conf" / "debugger"


@dataclass
class Mine(Rule):
    """A rule of a user's own."""

    threshold: float = 1.0


class NoRule:
    """Something else."""


def preset(name: str) -> dict[str, Any]:
    node: Any = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    return node  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["sane", "aws"])
def test_a_preset_names_every_rule(name: str) -> None:
    node = preset(name)
    assert list(node["rules"]) == list(BUILT_IN)
    assert [one.name for one in settings.check(node).rules] == [
        rule for rule in BUILT_IN if node["rules"][rule]
    ]


def test_the_aws_preset_holds_the_documented_defaults() -> None:
    for name, parameters in preset("aws")["rules"].items():
        if parameters is not None:
            usual = BUILT_IN[name]().parameters
            assert {key: usual[key] for key in parameters if not isinstance(usual[key], tuple)} == {
                key: value for key, value in parameters.items() if not isinstance(usual[key], tuple)
            }


def test_every_parameter_of_every_rule_has_limits() -> None:
    for rule in BUILT_IN.values():
        assert set(rule.LIMITS) == set(rule().parameters)


def test_nothing_is_watched_without_rules() -> None:
    assert settings.check(preset("none")).rules == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rule": {}}, ["debugger.rule:", "did you mean rules?"]),
        ({"every_n_steps": 0}, ["debugger.every_n_steps: 0", "a whole number from 1"]),
        ({"action": "raise"}, ["debugger.action", "report, stop"]),
        ({"rules": {"Overfitt": {}}}, ["debugger.rules.Overfitt", "did you mean Overfit?", "_target_"]),
        ({"rules": {"Overfit": {"patience": 0}}}, ["debugger.rules.Overfit.patience: 0", "from 1"]),
        (
            {"rules": {"Overfit": {"patienc": 1}}},
            ["debugger.rules.Overfit.patienc", "did you mean patience?"],
        ),
        ({"rules": {"Overfit": {"action": "end"}}}, ["debugger.rules.Overfit.action", "report, stop"]),
        ({"rules": {"Overfit": 3}}, ["debugger.rules.Overfit: 3", "null to turn it off"]),
        ({"rules": {"StalledTraining": {"action": "stop"}}}, ["StalledTraining.action", "report"]),
        (
            {"rules": {"DeadRelu": {"threshold_inactivity": 3.0}}},
            ["threshold_inactivity: 3.0", "0.1, 0.5, 1.0"],
        ),
        ({"rules": {"X": {"_target_": "no.such.Rule"}}}, ["debugger.rules.X._target_", "cannot be imported"]),
        ({"rules": {"X": {"_target_": f"{__name__}.NoRule"}}}, ["no subclass of", "inherits from Rule"]),
    ],
)
def test_refusals_name_key_and_what_is_allowed(change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.check(preset("sane") | change)
    for word in words:
        assert word in str(caught.value)


def test_a_preset_without_a_word_about_rules_is_not_simply_off() -> None:
    """As an empty file of a user's own gives it."""
    for node in ({}, {"preset": "mine", "action": "stop"}):
        with pytest.raises(ConfigError, match="is missing") as caught:
            settings.check(node)
        assert caught.value.key == "debugger.rules" and "defaults: [sane, _self_]" in str(caught.value.fix)


def test_own_rules_and_actions() -> None:
    asked = settings.check({
        "action": "stop",
        "rules": {
            "Mine": {"_target_": f"{__name__}.Mine", "threshold": 3.0, "action": "report"},
            "Overfit": {}, "StalledTraining": {"threshold": 5}, "AllZero": None,
        },
    })  # fmt: skip
    assert [(one.name, one.stops) for one in asked.rules] == [
        ("Mine", False), ("Overfit", True), ("StalledTraining", False),
    ]  # fmt: skip
    assert isinstance(asked.rules[0].rule, Mine)
    assert asked.rules[0].rule.parameters == {"threshold": 3.0}
