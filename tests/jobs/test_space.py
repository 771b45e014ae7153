"""Hydra's sweep grammar as SageMaker's ranges: what maps, what is refused and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launchers.jobs.ranges import Range
from launchers.jobs.space import Space, parse
from sweepmaker.config.errors import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.fixture(scope="module")
def loader() -> Iterator[Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


def categorical(name: str, *values: str) -> Range:
    return Range(name, "Categorical", values)


MAPPED: list[tuple[str, Range]] = [
    ("lr=interval(1e-4,1e-1)", Range("lr", "Continuous", (), "0.0001", "0.1", "Linear")),
    ("lr=interval(0,1)", Range("lr", "Continuous", (), "0.0", "1.0", "Linear")),
    ("batch_size=int(interval(8,64))", Range("batch_size", "Integer", (), "8", "64", "Linear")),
    ("lr=tag(log,interval(1e-5,1e-1))", Range("lr", "Continuous", (), "1e-05", "0.1", "Logarithmic")),
    ("epochs=tag(log,int(interval(1,64)))", Range("epochs", "Integer", (), "1", "64", "Logarithmic")),
    (
        "model.dropout=tag(reverse_log,interval(0,0.9))",
        Range("model.dropout", "Continuous", (), "0.0", "0.9", "ReverseLogarithmic"),
    ),
    ("lr=tag(auto,interval(1,2))", Range("lr", "Continuous", (), "1.0", "2.0", "Auto")),
    ("lr=tag(linear,interval(1,2))", Range("lr", "Continuous", (), "1.0", "2.0", "Linear")),
    ("batch_size=8,16,32", categorical("batch_size", "8", "16", "32")),
    ("batch_size=choice(8,16)", categorical("batch_size", "8", "16")),
    ("epochs=range(1,4)", Range("epochs", "Integer", ("1", "2", "3"), "1", "3", "Linear")),
    ("epochs=range(3,0,-1)", Range("epochs", "Integer", ("3", "2", "1"), "1", "3", "Linear")),
    ("epochs=range(0,100)", Range("epochs", "Integer", (), "0", "99", "Linear")),
    ("epochs=range(1,6,2)", categorical("epochs", "1", "3", "5")),
    ("lr=range(0,1,0.25)", categorical("lr", "0.0", "0.25", "0.5", "0.75")),
    ("epochs=sort(3,1,2)", categorical("epochs", "1", "2", "3")),
    ("epochs=shuffle(3,1,2)", categorical("epochs", "3", "1", "2")),
    ("model=resnet50,lite2", categorical("model", "resnet50", "lite2")),
    ("experiment=glob([b2*],exclude=b2_*)", categorical("experiment", "b2")),
    ("+experiment=b2,head", categorical("+experiment", "b2", "head")),
    ("optimizer@other.place=sgd,adamw", categorical("optimizer@other.place", "sgd", "adamw")),
    ("+custom.x=1,2", categorical("+custom.x", "1", "2")),
    ("++custom.x=interval(0,1)", Range("++custom.x", "Continuous", (), "0.0", "1.0", "Linear")),
    ("custom.x='a b',\"c,d\"", categorical("custom.x", "'a b'", '"c,d"')),
    ("custom.x=0.1,'0.1'", categorical("custom.x", "0.1", "'0.1'")),
    ("custom.x=[1,2],[3]", categorical("custom.x", "[1,2]", "[3]")),
    ("custom.x={a:1},{a:2}", categorical("custom.x", "{a:1}", "{a:2}")),
    ("custom.x=null,true", categorical("custom.x", "null", "True")),
    ("custom.x='a=b','c:d'", categorical("custom.x", "'a=b'", "'c:d'")),
    ("custom.x=s3://b/k\\=v,b", categorical("custom.x", "s3\\://b/k\\=v", "b")),
]


@pytest.mark.parametrize(("line", "expected"), [case for case in MAPPED if "exclude" not in case[0]])
def test_maps(line: str, expected: Range, loader: Any) -> None:
    assert parse([line], loader).ranges == (expected,)


REFUSED: list[tuple[str, str]] = [
    ("~custom=1,2", "deletion can't be swept"),
    ("epochs=1,1", "1 is there twice"),
    ("custom.x=${lr},2", "refers to another key"),
    ("hydra.verbose=true,false", "Hydra's own settings"),
    ("epochs=choice(1)", "nothing is swept"),
    ("epochs=1", "nothing is swept"),
    ("lr='tag(log,interval(1,2))'", "nothing is swept"),
    ("epochs=range(0,100,2)", "50 values are more"),
    ("epochs=range(5,5)", "no values"),
    ("experiment=glob(no_such*)", "no values"),
    ("lr=tag(foo,interval(1,2))", "not a scale"),
    ("lr=tag(log,linear,interval(1,2))", "not a scale"),
    ("lr=interval(5,1)", "is empty"),
    ("lr=interval(1,1)", "is empty"),
    ("lr=tag(log,interval(0,1))", "logarithmic scale has no 0"),
    ("lr=tag(log,interval(-1,1))", "logarithmic scale has no -1"),
    ("lr=tag(reverse_log,interval(0,1))", "reverse logarithmic"),
    ("epochs=tag(reverse_log,int(interval(0,5)))", "reverse logarithmic"),
    ("epochs=tag(log,choice(1,2))", "is about intervals"),
    ("job.max_jobs=1,2", "one sweep is one job"),
    ("where=sagemaker,embedded", "one sweep is one job"),
    ("dry_run=true,false", "about the launch"),
    ("objective.mode=max,min", "one objective"),
    ("data.root=a,b", "one channel of the job"),
    ("+sagemaker_program=a,b", "SageMaker uses names like this"),
    ("+_tuning_objective_metric=a,b", "SageMaker uses names like this"),
    (f"custom.x={'a' * 300},b", "a value has 300 characters"),
    ("custom.x=" + ",".join(map(str, range(31))), "31 values are more"),
]


@pytest.mark.parametrize(("line", "said"), REFUSED)
def test_refuses(line: str, said: str, loader: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse([line], loader)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "lines",
    [
        ["lr=1,2", "lr=3"],
        ["custom={x:1}", "+custom.x=1,2"],
        ["model.dropout=0.1,0.2", "++model.dropout=0.3"],
        ["lr=1,2", "+lr=3,4"],
    ],
)
def test_one_key_has_one_place(lines: list[str], loader: Any) -> None:
    with pytest.raises(ConfigError, match=r"sweeps|swept twice"):
        parse(lines, loader)


def test_a_group_beside_a_swept_key_of_it(loader: Any) -> None:
    space = parse(["model=resnet50", "model.dropout=0.1,0.2"], loader)
    assert space == Space((categorical("model.dropout", "0.1", "0.2"),), ("model=resnet50",), (), (1,))


def test_a_swept_group_beside_a_fixed_key_of_it(loader: Any) -> None:
    space = parse(["model=resnet50,lite2", "model.dropout=0.1"], loader)
    assert space.static == ("model.dropout=0.1",)


def test_the_order_of_the_command_line_is_kept(loader: Any) -> None:
    lines = ["seed=1", "+experiment=b2,head", "epochs=2", "lr=1,2", "image_size=32"]
    space = parse(lines, loader)
    assert space.lines({"+experiment": "b2", "lr": "2"}) == [
        "seed=1", "+experiment=b2", "epochs=2", "lr=2", "image_size=32",
    ]  # fmt: skip


def test_static_lines_stay_as_written(loader: Any) -> None:
    lines = ["~callbacks.resume", "custom.x='a b'", "+experiment=b2", "seed=choice(3)", "lr=1,2"]
    space = parse(lines, loader)
    assert space.static == ("~callbacks.resume", "custom.x='a b'", "+experiment=b2", "seed=3")
    assert "one value" in space.notes[0]


def test_params_of_a_file_and_the_command_line_that_wins(loader: Any) -> None:
    space = parse(["lr=1,2"], loader, {"lr": "interval(0,1)", "batch_size": "8,16"})
    assert {one.name: one.values for one in space.ranges} == {"lr": ("1", "2"), "batch_size": ("8", "16")}


@pytest.mark.parametrize(
    ("lines", "expected"), [(["lr=1,2", "epochs=range(1,4)"], 6), (["lr=interval(0,1)"], None)]
)
def test_combinations(lines: list[str], expected: int | None, loader: Any) -> None:
    assert parse(lines, loader).combinations == expected


_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
_SCALARS = st.one_of(
    st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
)


def _written(value: Any) -> str:
    """A value as someone who quotes every text would write it."""
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, list):
        return "[" + ",".join(map(_written, value)) + "]"
    return "null" if value is None else str(value)


_ELEMENTS = st.recursive(st.one_of(_SCALARS, _TEXTS), lambda inner: st.lists(inner, max_size=3), max_leaves=4)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(_ELEMENTS.map(_written), min_size=2, max_size=5, unique=True))
def test_what_a_trial_replays_is_what_was_written(values: list[str], loader: Any) -> None:
    line = "custom.x=" + ",".join(values)
    parser = OverridesParser.create()
    try:
        expected = [parser.parse_override(f"custom.x={value}").value() for value in values]
        searched = parse([line], loader).ranges[0]
    except ConfigError as error:
        assert any(word in str(error) for word in ("twice", "characters", "refers", "come back"))
        return
    except Exception as error:  # not in the grammar, alone or as a list of choices
        assert type(error).__module__.startswith("hydra")
        return
    replayed = [parser.parse_override(f"{searched.name}={text}").value() for text in searched.values]
    assert list(map(repr, replayed)) == list(map(repr, expected))
