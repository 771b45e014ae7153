"""A preset of the profiler's is whole, or says what it lacks before anything starts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.config.profiler_keys import check_whole
from sweepmaker.config.schema import validate
from tests.profiler.recorded import CONF


@pytest.fixture(scope="module")
def sane() -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["paths.output_dir=."])
    validate(cfg)
    whole: Any = OmegaConf.to_container(cfg.profiler)
    return dict(whole)


@pytest.mark.parametrize(
    "key",
    [
        "preset",
        "trace_steps",
        "rules",
        "rules.DataWait.threshold",
        "rules.StepOverhead.fixed",
        "rules.BatchSize.window_s",
    ],
)
def test_a_key_that_a_preset_lacks_is_named(sane: dict[str, Any], key: str) -> None:
    node = around = copy.deepcopy(sane)
    *above, last = key.split(".")
    for name in above:
        around = around[name]
    del around[last]
    with pytest.raises(ConfigError, match="missing") as raised:
        check_whole(node)
    assert raised.value.key == f"profiler.{key}" and "defaults: [sane, _self_]" in str(raised.value.fix)


def test_the_whole_config_is_checked_for_it(sane: dict[str, Any]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["paths.output_dir=.", "~profiler.rules.DataWait.threshold"])
    with pytest.raises(ConfigError) as raised:
        validate(cfg)
    assert raised.value.key == "profiler.rules.DataWait.threshold"


@pytest.mark.parametrize("node", [{}, {"preset": "mine"}])
def test_a_preset_that_does_not_say_whether_it_is_on(node: dict[str, Any]) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", ["paths.output_dir=."])
    cfg.profiler = node  # as an empty file of a user's own gives it
    with pytest.raises(ConfigError, match="missing") as raised:
        validate(cfg)
    assert raised.value.key == "profiler.enabled"


def test_what_is_switched_off_may_be_absent(sane: dict[str, Any]) -> None:
    node = copy.deepcopy(sane)
    node["rules"]["DataWait"] = None
    del node["rules"]["BatchSize"]
    check_whole(node)
    check_whole({"enabled": False})
