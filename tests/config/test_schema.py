"""What the schema lets pass, and that its list of Lightning's arguments is complete."""

from __future__ import annotations

import inspect
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config import schema
from sweepmaker.config.errors import ConfigError
from sweepmaker.config.trainer_keys import TRAINER_KEYS

GOOD = {"lr": 1e-3, "ckpt_path": None, "train": True, "test": True}


def test_trainer_keys_are_lightnings() -> None:
    lightnings = set(inspect.signature(Trainer.__init__).parameters) - {"self"}
    assert set(TRAINER_KEYS) == lightnings | {"_target_", "threads", "memory_format"}


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


NAN, INF = math.nan, math.inf
# key -> what passes, what does not
VALUES: dict[str, tuple[list[object], list[object]]] = {
    "lr": ([1e-9, 1, 0.5], [0, -1, NAN, INF, "1e-3", None, True]),
    "batch_size": ([1, 4096], [0, -1, 1.0, "16", None, True]),
    "epochs": ([1, 10**6], [0, -1, 2.5, None, False]),
    "seed": ([0, 2**32 - 1], [-1, 2**32, 0.0, None]),
    "image_size": ([8, 260, 4096], [7, 4097, 64.0, [64, 64]]),
    "objective.name": (["valid/top1"], ["", None, 3]),
    "objective.mode": (["max", "min"], ["MAX", "", None, True]),
    "train": ([True, False], [1, 0, "true", None]),
    "test": ([True, False], [1, "yes", None]),
    "fail_fast": ([True, False], [1, "no", None]),
    "ckpt_path": ([None, "/a"], ["", 3, False]),
    "resume": ([None, "/a"], ["", 3, False]),
    "data.num_workers": ([0, 16, "auto"], [-1, 1.5, "all", None, True]),
    "data.on_bad_image": (["stop", "skip"], ["ignore", None, False]),
    "data.root": ([None, "/a"], ["", 3]),
    "data.splits.valid": ([0.1, 0.99], [0, 1, -0.1, NAN, None, "0.1"]),
    "data.splits.test": ([0, 0.1], [1.0, 5, None]),
    "data.resize": ([None, 8, 288], [7, 288.0, "auto"]),
    "data.augment.hflip": ([0, 0.5, 1], [-0.1, 1.1, None, True]),
    "data.augment.trivial_augment": ([True, False], [None, 1, "wide"]),
    "data.max_pixels": ([1, 10**9], [0, 1e9, None]),
    "model.name": (["resnet50"], ["", None, 50]),
    "model.dropout": ([None, 0, 0.3], [1.5, -0.1, "auto"]),
    "model.weights_timeout_s": ([0, 10], [-1, None, INF]),
    "model.library": (["torchvision", "timm"], ["torch", None]),
    "model.finetune": (["full", "head"], ["none", None, True]),
    "model.label_smoothing": ([0, 0.1], [1, -0.1, None]),
    "optimizer.weight_decay": ([0, 0.01, 2], [-0.01, NAN, "auto"]),
    "trainer.threads": ([1, 64, "auto"], [0, -1, 1.0, None, "all"]),
    "trainer.memory_format": (["auto", "channels_last", "contiguous"], ["nhwc", None]),
    "trainer.accelerator": (["auto", "cpu", "gpu", "cuda", "mps"], ["tpu9", None, 0]),
    "trainer.accumulate_grad_batches": ([1, 8], [0, 1.5, {4: 2}]),
    "trainer.gradient_clip_val": ([None, 0.5, 1], [0, -1, "auto", NAN]),
    "callbacks.resume.every_n_minutes": ([0, 0.5, 60], [-1, None, INF]),
    "callbacks.early_stopping.patience": ([1, 100], [0, 2.5, None]),
}


@pytest.mark.parametrize("key", schema.RULES)
def test_every_rule(key: str, tmp_path: Path) -> None:
    if key not in VALUES:
        # a rule that came later: at the least it has a value that it refuses, and says what it allows
        assert not schema.RULES[key].passes(object()) and schema.RULES[key].allowed
        return
    good, bad = VALUES[key]
    for value in good:
        cfg = config(key, str(tmp_path) if key == "ckpt_path" and value else value)
        cfg.ckpt_path = str(tmp_path) if not cfg.train else cfg.ckpt_path
        schema.validate(cfg)
    for value in bad:
        with pytest.raises(ConfigError) as raised:
            schema.validate(config(key, value))
        assert (raised.value.key, raised.value.allowed) == (key, schema.RULES[key].allowed)


def config(key: str, value: object) -> DictConfig:
    cfg = OmegaConf.create(dict(GOOD))
    OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


def test_every_value_of_the_table_belongs_to_a_rule() -> None:
    assert set(VALUES) <= set(schema.RULES)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(-5, 5))
def test_bounds_mean_what_they_say(value: float, low: float, high: float) -> None:
    assert schema.number(above=low, below=high).passes(value) == (low < value < high)
    assert schema.number(least=low, most=high).passes(value) == (low <= value <= high)


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (schema.number(), "a number"),
        (schema.number(above=0, most=1), "a number above 0 and at most 1"),
        (schema.number(least=0.5, below=1), "a number at least 0.5 and below 1"),
        (schema.integer(1), "a whole number from 1"),
        (schema.either(schema.integer(0, 9), schema.AUTO), "a whole number from 0 to 9, or auto"),
    ],
)
def test_what_is_allowed_is_said_in_words(rule: schema.Rule, words: str) -> None:
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
