"""What the page is made of: series as text, log axes, importance, differences from a common base."""

from __future__ import annotations

import base64
import math
import random
import struct
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sweepmaker.compare import configs
from sweepmaker.compare.page.arrays import Pool, encode
from sweepmaker.compare.page.differences import compact
from sweepmaker.compare.page.importance import importance
from sweepmaker.compare.page.space import log_keys
from sweepmaker.config.errors import ConfigError
from sweepmaker.run import build
from tests.compare.folders import make_launch


def decode(text: str) -> list[float]:
    """As assets/core.js does it."""
    if text[0] == "r":
        start, step, count = map(int, text[1:].split(","))
        return [float(start + i * step) for i in range(count)]
    raw = base64.b64decode(text[1:])
    kind, size = ("f", 4) if text[0] == "f" else ("d", 8)
    return list(struct.unpack(f"<{len(raw) // size}{kind}", raw))


@given(
    st.lists(
        st.floats(allow_nan=False) | st.integers(-50, 50).map(float) | st.floats(width=32, allow_nan=False)
    )
)
def test_series_keep_every_digit(values: list[float]) -> None:
    assert decode(encode(values)) == values


def test_what_is_equal_is_kept_once_and_in_few_bytes() -> None:
    pool = Pool()
    epochs = [float(i) for i in range(100)]
    assert pool.add(epochs) == pool.add(list(epochs)) == 0
    assert pool.texts == ["r0,1,100"] and pool.add([0.5, 0.25]) == 1
    assert encode([0.5, 0.25])[0] == "f" and encode([0.1, 0.25])[0] == "d"
    assert all(map(math.isnan, decode(encode([math.nan, math.nan]))))


@pytest.mark.parametrize(
    ("multirun", "logarithmic"),
    [
        ("overrides: ['lr=tag(log,interval(1e-4,1e-3))']", True),
        ("overrides: ['lr=interval(1e-4,1e-1)']", False),
        ("hydra: {overrides: {task: ['lr=tag(log, interval(1e-4, 1e-3))']}}", True),
        ("hydra: {sweeper: {params: {lr: 'interval(0.0001, 0.1)'}}}", False),
        ("overrides: ['lr=1e-4,1e-1']", True),  # a list that spans three decades
        ("overrides: [3, {a: b}]", True),
        ("{broken", True),
    ],
)
def test_axes_are_as_the_sweep_has_them(multirun: str, logarithmic: bool, tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").write_text(multirun)
    assert (log_keys([tmp_path], {"lr": [1e-4, 1e-1]}) == {"lr"}) == logarithmic


def test_the_request_of_a_job_says_its_scales(tmp_path: Path) -> None:
    make_launch(tmp_path, {"lr": "Logarithmic", "dropout": "Linear"})
    taken: dict[str, list[float | None]] = {
        "lr": [0.1, 0.2],
        "dropout": [0.001, 0.5],
        "zero": [0.0, 9.0],
        "text": [None],
    }
    assert log_keys([tmp_path], taken) == {"lr"}
    (tmp_path / "launch.json").write_text('{"request": []}')
    assert log_keys([tmp_path], {"dropout": [0.001, 0.5]}) == {"dropout"}


@pytest.mark.parametrize("runs", [40, 400])
def test_what_matters_is_found(runs: int) -> None:
    rng = random.Random(0)
    params: list[dict[str, str | float]] = [
        {"lr": 10 ** rng.uniform(-4, -1), "name": rng.choice("ab"), "noise": rng.random()}
        for _ in range(runs)
    ]
    values = [-abs(math.log10(float(one["lr"])) + 2.5) for one in params]
    found = importance(params, values, "max", {"lr"})
    assert next(iter(found["shares"])) == "lr" and found["shares"]["lr"] > 0.6
    assert sum(found["shares"].values()) == pytest.approx(1)
    assert found == importance(params, values, "max", {"lr"})
    assert found["method"] == ("fANOVA" if runs <= 300 else "PED-ANOVA")


def test_importance_says_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    params: list[dict[str, str | float]] = [{"lr": float(i)} for i in range(6)]
    assert "at least 5 runs" in importance(params[:2], [1.0, 2.0], "max", set())["note"]
    assert "note" in importance(params, [1.0] * 6, "max", set())
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "sweepmaker[compare]" in importance(params, [float(i) for i in range(6)], "max", set())["note"]


NODES = st.lists(
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["1", "2", "null"])), min_size=1, max_size=6
)


@given(NODES)
def test_a_base_and_differences_give_each_config_back(nodes: list[dict[str, str]]) -> None:
    found = compact(nodes)
    for node, own in zip(nodes, found["own"], strict=True):
        whole = {key: own.get(key, text) for key, text in {**found["base"], **own}.items()}
        assert {key: text for key, text in whole.items() if text is not None} == node


# without $, which begins an interpolation
TEXT = st.text(st.characters(exclude_categories=("C",), exclude_characters="$"), max_size=40)
LEAVES = st.integers() | st.booleans() | st.none() | TEXT
NESTED = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner, max_size=3)
    ),
)
CONFIGS = st.dictionaries(st.text("abc", min_size=1, max_size=3), NESTED, max_size=4)


@given(CONFIGS)
def test_a_config_read_in_blocks_is_the_one_read_whole(config: dict[str, object]) -> None:
    text = OmegaConf.to_yaml(OmegaConf.create({key: value for key, value in config.items()}))
    whole = configs._parsed(text)
    blocks = [block for block in configs._BLOCK.split(text) if block.strip()]
    merged: dict[str, object] = {}
    for block in blocks:
        merged |= configs._parsed(block) or {}
    assert merged == (whole or {})


def test_a_logger_whose_package_is_missing_is_one_message() -> None:
    node = OmegaConf.create({"_target_": "lightning.pytorch.loggers.WandbLogger", "project": "x"})
    with pytest.raises(ConfigError, match="not installed") as error:
        build.instantiate(node, "logger.wandb", object)
    assert error.value.fix == "pip install 'sweepmaker[wandb]'"
