"""What Hydra itself raises, over the shipped configs, as one message with something to type."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from sweepmaker.config import hydra_errors, schema
from sweepmaker.config.errors import ConfigError

CONF = Path(__file__).parents[2] / "conf"


def explained(*overrides: str) -> ConfigError:
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            schema.validate(compose("train", overrides=list(overrides)))
    except Exception as error:
        found = hydra_errors.explain(error, ["train.py", *overrides])
        assert found is not None, error
        return found
    raise AssertionError("composed without an error")


def words_after(text: str, mark: str) -> list[str]:
    """The shell words of a line to paste."""
    return shlex.split(text.partition(mark)[2])


@pytest.mark.parametrize(
    ("override", "key", "message", "allowed"),
    [
        ("lrr=1", "lrr", "did you mean lr?", "batch_size"),
        ("model.nam=x", "model.nam", "did you mean model.name?", "finetune"),
        ("data.augment.hflipp=1", "data.augment.hflipp", "did you mean data.augment.hflip?", "crop_scale"),
        ("callbacks.resume.every=1", "callbacks.resume.every", "no such key", "every_n_minutes"),
        ("objective.nam=x", "objective.nam", "did you mean objective.name?", "mode"),
        ("data=digitz", "data", "there is no 'digitz'; did you mean digits?", "fashion_mnist"),
        ("optimizer=sdg", "optimizer", "did you mean sgd?", "adamw"),
        ("+experiment=zzz", "experiment", "there is no 'zzz'", "b2_dogs"),
        ("experiment=b2", "experiment", "takes a plus", "b2_dogs"),
        ("lr=${nowhere}", "lr", "nowhere", None),
    ],
)
def test_what_is_wrong_and_what_is_allowed(
    override: str, key: str, message: str, allowed: str | None
) -> None:
    error = explained(override)
    assert error.key == key
    assert message in error.message
    assert allowed is None or allowed in str(error.allowed).split(", ")
    assert error.exit_code == 2
    assert "HYDRA_FULL_ERROR" not in str(error)


def test_options_that_a_plugin_brings_are_allowed_too() -> None:
    error = explained("hydra/launcher=bsic")
    assert error.key == "hydra/launcher"
    assert {"basic", "parallel"} <= set(str(error.allowed).split(", "))


@pytest.mark.parametrize("override", ["+lr=1", "+data=digits", "+objective.mode=min"])
def test_a_plus_too_many(override: str) -> None:
    key = override[1:].partition("=")[0]
    error = explained(override)
    assert (error.key, error.fix) == (key, f"{key}=...")


def test_lightnings_arguments_that_the_config_does_not_name_take_a_plus() -> None:
    assert "+trainer.max_steps=..." in str(explained("trainer.max_steps=9").fix)
    assert "+trainer" not in str(explained("trainer.max_epoch=9").fix)
    assert "+custom.mine=..." in str(explained("custom.mine=9").fix)
    assert "+custom.mine=..." in str(explained("mine=9").fix)


def test_the_experiment_line_keeps_the_rest() -> None:
    error = explained("experiment=b2", "lr=1e-3", "data.root='a b'")
    assert shlex.split(str(error.fix)) == [
        "python",
        "train.py",
        "+experiment=b2",
        "lr=1e-3",
        "data.root='a b'",
    ]


@pytest.mark.parametrize(
    "value",
    [
        "/a=b",
        "/a(b)",
        "[x",
        "{a:1",
        "it's",
        "'open",
        '"',
        "x: y: {",
        "C:\\it's\\",
        'a\'b="c"',
        "=${x}",
        "(",
        "a}",
    ],
)
def test_a_value_with_a_character_of_the_grammar_comes_back_quoted(value: str) -> None:
    error = explained(f"data.root={value}")
    assert error.key == "data.root"
    (word,) = shlex.split(str(error.fix))
    assert OverridesParser.create().parse_override(word).value() in (value, value.replace("${", "\\${"))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("train", overrides=[word]).data.root == value


def test_a_comma_may_be_one_value_or_several() -> None:
    error = explained("data.root=/a,b")
    assert error.key == "data.root"
    one, _, several = str(error.fix).partition("    ")
    (word,) = words_after(one, "one value: ")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("train", overrides=[word]).data.root == "/a,b"
    assert words_after(several, "several runs: ") == ["python", "train.py", "-m", "data.root=/a,b"]


def test_a_word_without_a_value() -> None:
    assert "'lr' is not key=value" in str(explained("lr"))


def test_deleting_what_is_not_there() -> None:
    assert "lrr" in str(explained("~lrr"))


@pytest.mark.parametrize("swept", ["lr=interval(1e-4,1e-1)", "lr=tag(log,interval(1e-4,1e-1))"])
@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_an_interval_needs_a_search(swept: str, flag: str) -> None:
    parsed = OverridesParser.create().parse_overrides([swept, "batch_size=8,16"])
    with pytest.raises(Exception) as raised:
        BasicSweeper.split_arguments(parsed, None)
    error = hydra_errors.explain(raised.value, ["train.py", flag, swept, "batch_size=8,16"])
    assert error is not None and error.message.startswith(swept)
    assert words_after(str(error.fix), "with: ") == [
        "python", "launch.py", "-m", swept, "batch_size=8,16", "where=embedded",
    ]  # fmt: skip


def test_an_interval_without_multirun_too() -> None:
    assert "launch.py" in str(explained("lr=interval(1,2)").fix)


def test_what_is_not_about_the_config_is_left_alone() -> None:
    assert hydra_errors.explain(ValueError("something of a module"), ["train.py"]) is None
    with pytest.raises(InstantiationException) as raised:
        instantiate({"_target_": "math.sqrt", "_args_": [-1]})
    assert hydra_errors.explain(raised.value, ["train.py"]) is None


def test_a_slip_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\nb: [\n")
    with pytest.raises(yaml.YAMLError) as caught, initialize_config_dir(str(tmp_path), version_base="1.3"):
        compose("mine")
    found = hydra_errors.explain(caught.value, ["train.py"])
    assert found is not None
    assert "mine.yaml, line 3: " in found.message and "it is no YAML" in str(found.fix)
