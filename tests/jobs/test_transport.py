"""Contract 1: what a trial composes from what was sent is what train.py composes from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf, open_dict

from launchers.jobs import compose
from launchers.jobs.ranges import Range
from launchers.jobs.space import parse
from sweepmaker.config.errors import ConfigError
from sweepmaker.container.overrides import dump_static, load_static, replay
from tests.jobs.launching import CHECKOUT

FULL = 2000  # cases of the acceptance run


@pytest.fixture(scope="module")
def loader() -> Iterator[Any]:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


_WORDS = st.text(st.sampled_from("ab Z0.-_/:=,@'\"\\{}[]()$%éß"), max_size=8)
_NUMBERS = st.one_of(
    st.integers(-(10**9), 10**9).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["1.10", "1e3", "007", "1_000", "-0.0", "0x10", "nan", "inf", "-inf"]),
)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _double(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_SIMPLE = st.one_of(
    _NUMBERS, _WORDS.map(_quoted), _WORDS.map(_double),
    st.sampled_from(["null", "true", "False", "a\\ b", "x/y"]),
)  # fmt: skip
_ELEMENTS = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.dictionaries(st.sampled_from(["a", "b", "c1"]), inner, max_size=2).map(
            lambda items: "{" + ",".join(f"{key}:{value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=4,
)
_INTERVALS = st.tuples(
    st.integers(1, 50), st.integers(51, 10**6), st.sampled_from(["", "log", "linear", "auto"]), st.booleans()
).map(
    lambda drawn: (
        _tagged(drawn[2], f"int(interval({drawn[0]},{drawn[1]}))")
        if drawn[3]
        else _tagged(drawn[2], f"interval({drawn[0] / 64},{drawn[1] / 7})")
    )
)
_RANGES = st.tuples(st.integers(-5, 5), st.integers(6, 20), st.integers(1, 4)).map(
    lambda drawn: f"range({drawn[0]},{drawn[1]},{drawn[2]})"
)
_CHOICES = st.one_of(
    st.lists(_ELEMENTS, min_size=2, max_size=4).map(",".join),
    st.lists(_ELEMENTS, min_size=2, max_size=4).map(lambda items: f"choice({','.join(items)})"),
    st.lists(_NUMBERS, min_size=2, max_size=4).map(lambda items: f"sort({','.join(items)})"),
    st.lists(_NUMBERS, min_size=2, max_size=4).map(lambda items: f"shuffle({','.join(items)})"),
)
_KEYS = st.sampled_from(
    ["+custom.x", "++custom.y.z", "+custom.w", "++model.extra", "lr", "trainer.precision"]
)
_GROUPS = st.sampled_from(
    ["model=resnet50,lite2", "+experiment=b2,head", "scheduler=glob(*)", "optimizer@custom.o=sgd,adamw",
     "+optimizer@custom.p=sgd,adamw", "callbacks=glob([d*,e*])"]
)  # fmt: skip
_STATIC = st.sampled_from(
    [
        "seed=3",
        "~callbacks.resume",
        "+custom.q='a b'",
        "++trainer.z=[1,{a: b}]",
        "data=fashion_mnist",
        "epochs=2",
    ]
)
_SWEPT = st.one_of(_GROUPS, st.builds("{}={}".format, _KEYS, st.one_of(_CHOICES, _RANGES, _INTERVALS)))
_LINES = st.tuples(
    st.lists(_STATIC, max_size=3, unique=True), st.lists(_SWEPT, min_size=1, max_size=3)
).flatmap(lambda drawn: st.permutations([*drawn[0], *drawn[1]]))


def _tagged(tag: str, sweep: str) -> str:
    return f"tag({tag},{sweep})" if tag else sweep


def _composed(lines: list[str], loader: Any) -> str:
    cfg = loader.load_configuration("train", lines, RunMode.RUN, from_shell=False)
    with open_dict(cfg):
        del cfg["hydra"]
    return _ordered(OmegaConf.to_container(cfg, resolve=False))


def _ordered(node: Any) -> str:
    """A config as text that tells 1 from 1.0, '1' and True; the order of keys means nothing."""
    if isinstance(node, dict):
        return "{" + ", ".join(f"{key!r}: {_ordered(node[key])}" for key in sorted(node, key=repr)) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(_ordered, node)) + "]"
    return repr(node)


def _picked(one: Range, data: st.DataObject) -> str:
    """What a tuner might choose."""
    if one.values:
        return data.draw(st.sampled_from(one.values))
    if one.kind == "Integer":
        return str(data.draw(st.integers(int(one.low), int(one.high))))
    return repr(data.draw(st.floats(float(one.low), float(one.high))))


def _same_here_and_there(lines: list[str], data: st.DataObject, loader: Any, folder: Path) -> bool:
    """Whether the case was one that can be launched; asserts that both compose alike."""
    try:
        space = parse(lines, loader)
    except (ConfigError, HydraException):
        return False  # refused with its reason: tests of their own
    chosen = {one.name: _picked(one, data) for one in space.ranges}
    here = [f"{key}={chosen[key]}" if (key := line.partition("=")[0]) in chosen else line for line in lines]
    try:
        expected = _composed(here, loader)
    except HydraException:
        return False  # the launch composes every value, and stops here too
    file = folder / "static.json"
    static, swept = compose.travelling(space)
    file.write_bytes(dump_static(static, {}, swept))
    received = json.loads(json.dumps({**chosen, "_tuning_objective_metric": "valid/top1_best"}))
    loaded = load_static(file)
    there = replay(received, loaded.overrides, loaded.swept)
    assert [line.partition("=")[0] for line in there] == [line.partition("=")[0] for line in here]
    assert _composed(there, loader) == expected
    return True


def _check(loader: Any, folder: Path, cases: int) -> int:
    held = 0

    # no shrinking: composing takes 50 ms, and one failing case says enough
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(lines=_LINES, data=st.data())
    def every_case(lines: list[str], data: st.DataObject) -> None:
        nonlocal held
        held += _same_here_and_there(lines, data, loader, folder)

    every_case()
    return held


@pytest.mark.slow
def test_composes_the_same_here_and_there(loader: Any, tmp_path: Path) -> None:
    assert _check(loader, tmp_path, 200) >= 50


@pytest.mark.accept
@pytest.mark.timeout(3600)
def test_composes_the_same_in_thousands_of_cases(
    loader: Any, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    held = _check(loader, tmp_path, 3 * FULL)
    record_property("figure", held)
    print(f"{held} cases composed alike, none differently")
    assert held >= FULL
