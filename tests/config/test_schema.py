"""What the schema lets pass, and that its list of Lightning's arguments is complete."""

from __future__ import annotations

import inspect
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import Trainer
from omegaconf import OmegaConf

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


def test_own_trainer_classes_may_have_own_keys() -> None:
    schema.validate(OmegaConf.create({**GOOD, "trainer": {"_target_": "my.Own", "anything": 1}}))
