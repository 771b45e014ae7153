"""Overrides go to the container and come back as the text that Hydra would have read here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.config.argv import quote
from sweepmaker.config.errors import ConfigError
from sweepmaker.container.overrides import STATIC_FILE, Static, dump_static, load_static, replay

PARSER = OverridesParser.create()


def parse(line: str) -> Override:
    return PARSER.parse_override(line)


words = st.from_regex(r"[A-Za-z_$][A-Za-z0-9_$-]{0,8}", fullmatch=True)
ids = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True)
numbers = st.integers(0, 99).map(str)
dotted = st.lists(words | numbers, min_size=2, max_size=4).map(".".join)
groups = st.lists(ids, min_size=2, max_size=3).map("/".join)
keys = st.builds(
    lambda plus, key, package: f"{plus}{key}" + (f"@{package}" if package else ""),
    st.sampled_from(["", "+", "++"]),
    words | dotted | groups,
    st.none() | words | dotted,
).filter(lambda name: not any(word in name for word in ("hydra", "resume", "sagemaker_")))

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
quoted = texts.map(quote) | texts.map(lambda text: quote(text, mark='"'))
plain = st.from_regex(r"[A-Za-z_][A-Za-z0-9_./%-]{0,10}", fullmatch=True)
escaped = st.sampled_from([r"a\ b", r"a\,b", r"s3\://b/k\=v", r"x\=\[1\]", r"\{a\}", r"a\\\\b"])
scalars = st.one_of(
    st.integers().map(str), st.floats().map(str), st.booleans().map(str), quoted, plain, escaped,
    st.sampled_from(["null", "true", "1.10", "1e-05", "007", "1_000", "-0.0", "inf", "NaN", "${lr}", "''"]),
)  # fmt: skip
elements = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: "[" + ",".join(parts) + "]")
        | st.lists(st.tuples(plain | numbers, inner), max_size=3, unique_by=lambda pair: pair[0]).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(keys, elements)
def test_a_replayed_element_is_the_one_sent(key: str, element: str) -> None:
    original = parse(f"{key}={element}")
    [line] = replay({original.get_key_element(): element}, [])
    again = parse(line)
    assert again.get_key_element() == original.get_key_element() == key
    # repr: nan is not equal to itself, and 1 is to True
    assert repr(again.value()) == repr(original.value())


@settings(max_examples=200, deadline=None)
@given(keys, st.lists(elements, min_size=2, max_size=4))
def test_a_swept_value_is_the_one_hydra_would_run(key: str, choices: list[str]) -> None:
    """The text that Hydra's own sweepers start a run with, by way of a job, parses to the choice."""
    sweep = parse(f"{key}={','.join(choices)}")
    for text, choice in zip(sweep.sweep_string_iterator(), choices, strict=True):
        [line] = replay(json.loads(json.dumps({sweep.get_key_element(): text})), [])
        assert not parse(line).is_sweep_override()
        assert line == f"{key}={text}"
        if "\\" not in choice:  # Hydra's own text for a backslash is not always the one it read
            assert repr(parse(line).value()) == repr(parse(f"{key}={choice}").value())


def test_static_lines_first_then_swept_by_name() -> None:
    sent = {
        "lr": "0.1", "+b.c": "'x'", "++a": "1", "_tuning_objective_metric": "valid/top1_best",
        "sagemaker_program": "x.py", "model": "resnet50",
    }  # fmt: skip
    assert replay(sent, ["epochs=2", "~callbacks"]) == [
        "epochs=2", "~callbacks", "++a=1", "+b.c='x'", "lr=0.1", "model=resnet50",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "", "-m", "--config-dir", "a b", "lr\n", "lr\nhydra.run.dir", "lr=1,hydra.run.dir", "~lr", "+++lr",
        " lr", "lr ", "a..b", ".a", "a.", "a@", "@a", "a@b@c", "a:b", "a/b/", "/a", "a.b/c", "lr\0", "é", "5",
        "a[0]", "x@_global_.hydra",
        "hydra.run.dir", "+hydra.sweep.dir", "++hydra", "hydra/launcher", "x@hydra", "x@hydra.job", "hydra@x",
        "resume", "+resume", "resume@x",
    ],
)  # fmt: skip
def test_a_hostile_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="hyperparameters: ") as refused:
        replay({name: "1"}, [])
    assert "\n  allowed: " in str(refused.value) and "\0" not in str(refused.value)


@pytest.mark.parametrize("name", ["hydrant", "resumed", "a.hydra", "custom.resume", "x@a.hydra", "sagemaker"])
def test_a_similar_name_is_not(name: str) -> None:
    assert replay({name: "1"}, []) == [f"{name}=1"]


@pytest.mark.parametrize("value", [1, 1.5, True, None, ["a"], {"a": 1}, "a\0b", "\ud800"])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        replay({"lr": value}, [])  # type: ignore[dict-item]


def test_static_survives_its_file(tmp_path: Path) -> None:
    lines = ["+experiment=b2", "~callbacks.best", "custom.a='x\ny'", "hydra.verbose=true", "x.y='é€'"]
    channels = {"weights": "model.weights=net.pth", "data": "+data.root"}
    content = dump_static(lines, channels)
    assert content == dump_static(tuple(lines), dict(reversed(channels.items())))
    path = tmp_path / STATIC_FILE
    path.write_bytes(content)
    assert load_static(path) == Static(tuple(lines), channels)


@pytest.mark.parametrize(
    "line",
    [
        "-m", "--multirun", "--config-dir=x", "resume=outputs/x", "+resume=x", "hydra.run.dir=x", "hydra={}",
        "hydra/launcher=joblib", "hydra/sweeper=sagemaker", "hydra.sweeper.params={}", "hydra.mode=MULTIRUN",
        "hydra.sweep.dir=x", "++hydra.output_subdir=null", "~hydra.run", "hydra.job.num=3", "x@hydra=y",
        "x@_global_.hydra=y", "a\0=1",
    ],
)  # fmt: skip
def test_what_the_container_decides_is_refused_before_it_travels(line: str) -> None:
    with pytest.raises(ConfigError):
        dump_static([line])


@pytest.mark.parametrize(
    "channels",
    [{"..": "a"}, {"a/b": "a"}, {"": "a"}, {"a": ""}, {"a": "b c"}, {"a": "hydra.run.dir"}, {"a": "resume"},
     {"a": "x=../y"}, {"a": "x=/etc/passwd"}, {"a\n": "x"}, {"a": "--x"}, {"a": "x\n"}],
)  # fmt: skip
def test_a_channel_that_is_none_is_refused(channels: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="channel"):
        dump_static([], channels)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"schema": 2, "overrides": [], "channels": {}}', "\xff",
     '{"schema": 1, "overrides": "lr=1", "channels": {}}', '{"schema": 1, "overrides": [1], "channels": {}}',
     '{"schema": 1, "overrides": ["hydra.run.dir=x"], "channels": {}}', "[" * 100000,
     '{"schema": 1, "overrides": [], "overrides": ["a=1"], "channels": {}}',
     '{"schema": 1, "overrides": [], "channels": {"a": 1}}'],
)  # fmt: skip
def test_a_damaged_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / STATIC_FILE
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=STATIC_FILE):
        load_static(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        load_static(tmp_path / STATIC_FILE)
