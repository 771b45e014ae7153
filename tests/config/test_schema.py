"""What the schema lets pass, and that its list of Lightning's arguments is complete."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import get_args

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from lightning.fabric.plugins.precision.precision import (
    _PRECISION_INPUT_INT,
    _PRECISION_INPUT_STR,
    _PRECISION_INPUT_STR_ALIAS,
)
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config import rules, schema
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.trainer_keys import PRECISIONS, TRAINER_KEYS
from tests.config.values import VALUES

CONF = Path(__file__).parents[2] / "conf"
GOOD = {"lr": 1e-3, "ckpt_path": None, "train": True, "test": True}


def test_trainer_keys_are_lightnings() -> None:
    lightnings = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    assert set(TRAINER_KEYS) == lightnings | {"_target_", "threads", "memory_format", "compile"}


@given(st.floats() | st.integers() | st.booleans() | st.text() | st.none())
def test_lr_is_a_finite_number_above_0(value: object) -> None:
    fine = (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    )
    assert schema.RULES["lr"].passes(value) == fine


@given(st.floats() | st.integers(-3, 3) | st.booleans() | st.text())
def test_batch_size_is_a_whole_number_from_1(value: object) -> None:
    fine = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    assert schema.RULES["batch_size"].passes(value) == fine


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"lr": "fast"}, "lr"),
        ({"leraning_rate": 1}, "leraning_rate"),
        ({"trainer": {"_target_": "lightning.pytorch.Trainer", "max_epoch": 1}}, "trainer.max_epoch"),
        ({"data": {"source": "folder", "root": None}}, "data.root"),
        ({"model": {"_target_": "???"}}, "model._target_"),
        ({"train": False}, "ckpt_path"),
    ],
)
def test_the_key_at_fault_is_named(change: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        schema.validate(OmegaConf.create({**GOOD, **change}))
    assert raised.value.key == key


@pytest.mark.parametrize("key", schema.RULES)
def test_every_rule(key: str, tmp_path: Path) -> None:
    good, bad = VALUES[key]
    for value in good:
        cfg = config(key, str(tmp_path) if key == "ckpt_path" and value else value)
        cfg.ckpt_path = str(tmp_path) if not cfg.train else cfg.ckpt_path
        schema.validate(cfg)
    for value in bad:
        with pytest.raises(ConfigError) as raised:
            schema.validate(config(key, value))
        rule = schema.RULES[key]
        if isinstance(value, dict) and rule.keys:  # the key in it is named that there is not
            assert str(raised.value.key) in {f"{key}.{name}" for name in value}
            assert raised.value.allowed == ", ".join(rule.keys)
        else:
            assert (raised.value.key, raised.value.allowed) == (key, rule.allowed)


def config(key: str, value: object) -> DictConfig:
    cfg = OmegaConf.create(dict(GOOD))
    if key.startswith("profiler"):  # whose presets have to say this
        OmegaConf.update(cfg, "profiler.enabled", False, force_add=True)
    OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


def test_precisions_are_lightnings() -> None:
    strings, aliases, numbers = map(
        get_args, (_PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS, _PRECISION_INPUT_INT)
    )
    assert set(PRECISIONS) == {*strings, *aliases, *numbers}


def shipped_keys() -> set[str]:
    """Every key that a user may find in a file under conf/."""
    keys: set[str] = set()
    for file in [CONF / "train.yaml", *CONF.glob("*/*.yaml")]:
        group = file.parent.name
        if group not in (
            "conf",
            "data",
            "model",
            "optimizer",
            "scheduler",
            "trainer",
            "callbacks",
            "profiler",
        ):
            continue
        content = yaml.safe_load(text := file.read_text())
        top = content if group == "conf" or "@package _global_" in text else {group: content}
        keys |= set(flat({name: node for name, node in top.items() if name not in ("defaults", "hydra")}))
    return keys


def flat(node: object, prefix: str = "") -> list[str]:
    if not isinstance(node, dict) or not node:
        return [prefix]
    parts = [flat(value, f"{prefix}.{key}".lstrip(".")) for key, value in node.items() if key != "defaults"]
    return [key for part in parts for key in part]


def test_every_shipped_key_has_a_rule() -> None:
    without = {key for key in shipped_keys() - set(schema.RULES) if not key.split(".")[-1].startswith("_")}
    # what Hydra fills in when the run begins
    assert without == {"paths.output_dir", "callbacks.best.dirpath", "callbacks.resume.dirpath"}


@pytest.mark.parametrize("group", ["data", "model", "optimizer", "scheduler"])
def test_code_of_the_user_s_own_may_give_a_name_another_meaning(group: str) -> None:
    names = [key.partition(".")[2] for key in schema.RULES if key.startswith(f"{group}.")]
    node = {"_target_": "my_project.Own", **{name: "whatever" for name in names if "." not in name}}
    schema.validate(OmegaConf.create({**GOOD, group: node}))
    with pytest.raises(ConfigError):
        schema.validate(OmegaConf.create({**GOOD, group: {**node, "_target_": "torch.Theirs"}}))


def test_a_trainer_of_the_user_s_own_is_still_a_trainer() -> None:
    with pytest.raises(ConfigError, match="devices"):
        schema.validate(OmegaConf.create({**GOOD, "trainer": {"_target_": "my.Trainer", "devices": 0}}))


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_bounds_mean_what_they_say(value: float, low: float, high: float) -> None:
    assert rules.number(above=low, below=high).passes(value) == (low < value < high)
    assert rules.number(least=low, most=high).passes(value) == (low <= value <= high)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (rules.number(), "a number"),
        (rules.number(above=0, most=1), "a number above 0 and at most 1"),
        (rules.number(least=0.5, below=1), "a number at least 0.5 and below 1"),
        (rules.integer(1), "a whole number from 1"),
        (rules.either(rules.integer(0, 9), rules.AUTO), "a whole number from 0 to 9, or auto"),
    ],
)
def test_what_is_allowed_is_said_in_words(rule: rules.Rule, words: str) -> None:
    assert rule.allowed == words


def test_a_node_that_is_missing_or_another_is_left_to_others() -> None:
    schema.validate(OmegaConf.create({**GOOD, "optimizer": None, "callbacks": {}, "scheduler": None}))
    schema.validate(OmegaConf.create({**GOOD, "data": {"_target_": "my.Own", "num_workers": 3}}))


@pytest.mark.parametrize(
    ("key", "guess"),
    [
        ("leraning_rate", ""),
        ("batchsize", "batch_size"),
        ("epoch", "epochs"),
        ("zzz", ""),
        ("trainr", "trainer"),
    ],
)
def test_an_unknown_key_is_answered_with_a_guess(key: str, guess: str) -> None:
    with pytest.raises(ConfigError) as raised:
        schema.validate(OmegaConf.create({**GOOD, key: 1}))
    assert (f"did you mean {guess}" in raised.value.message) == bool(guess)
    assert raised.value.allowed is not None and "batch_size" in raised.value.allowed
    assert raised.value.exit_code == 2


def test_a_value_that_refers_to_another_is_checked_as_that() -> None:
    cfg = OmegaConf.create({**GOOD, "batch_size": 4, "data": {"num_workers": "${batch_size}"}})
    schema.validate(cfg)
    cfg.batch_size = 0.5
    with pytest.raises(ConfigError):
        schema.validate(cfg)


def test_paths_that_are_there_pass(tmp_path: Path) -> None:
    (tmp_path / "x.ckpt").touch()
    data = {"source": "folder", "root": str(tmp_path)}
    schema.validate(
        OmegaConf.create({**GOOD, "train": False, "ckpt_path": str(tmp_path / "x.ckpt"), "data": data})
    )
    with pytest.raises(ConfigError, match="is not a folder"):
        data["root"] = str(tmp_path / "x.ckpt")
        schema.validate(OmegaConf.create({**GOOD, "data": data}))
    with pytest.raises(ConfigError, match="there is no"):
        schema.validate(OmegaConf.create({**GOOD, "ckpt_path": str(tmp_path / "no")}))


def test_own_trainer_classes_may_have_own_keys() -> None:
    schema.validate(OmegaConf.create({**GOOD, "trainer": {"_target_": "my.Own", "anything": 1}}))


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ({"model": {"finetune": "head", "dropout": 0.1}}, "model.dropout"),
        (
            {"model": {"finetune": "gradual", "head_epochs": 3}, "trainer": {"max_epochs": 3}},
            "model.head_epochs",
        ),
        ({"model": {"finetune": "gradual"}, "trainer": {"devices": 2}}, "model.finetune"),
        ({"model": {"finetune": "full"}, "data": {"views": 4}}, "data.views"),
        ({"model": {"finetune": "head", "mixup": 0.2}, "data": {"views": 4}}, "data.views"),
        ({"model": {"finetune": "head", "cutmix": 1}, "data": {"views": 4}}, "data.views"),
        ({"model": {"finetune": "head"}, "data": {"views": 4, "cache": "none"}}, "data.views"),
        (
            {
                "model": {"finetune": "head"},
                "data": {"views": 4, "augment": {"crop_scale": None, "hflip": 0.0, "trivial_augment": False}},
            },
            "data.views",
        ),
    ],
)
def test_settings_that_exclude_each_other(given_: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        schema.validate(OmegaConf.create({**GOOD, **given_}))
    assert raised.value.key == key and raised.value.fix


def test_settings_that_go_together() -> None:
    schema.validate(
        OmegaConf.create(
            {
                **GOOD,
                "model": {"finetune": "gradual", "head_epochs": 1},
                "trainer": {"max_epochs": 3, "devices": 1},
            }
        )
    )
    views = {"views": 4, "cache": "auto", "augment": {"crop_scale": [0.5, 1.0], "hflip": 0.0}}
    model = {"finetune": "head", "mixup": 0.0, "cutmix": 0}
    schema.validate(OmegaConf.create({**GOOD, "model": model, "data": views}))
