"""``run=`` in all its forms, and what is said where there is no model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from sweepmaker.config.errors import ConfigError
from sweepmaker.serving import find, settings
from tests.compare.folders import make_run, make_sweep
from tests.integration.runs import CHECKOUT
from tests.serving.models import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def place(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep of three runs, the third of which is best, and a run that is better."""
    sweep = tmp_path / "multirun" / "2026-11-23" / "10-00-00"
    runs = make_sweep(sweep, (1e-4, 1e-3, 3e-3))
    runs.append(make_run(tmp_path / "outputs" / "2026-11-23" / "11-00-00", values=[0.5, 0.99]))
    for run in runs:
        shutil.copytree(model, run / "model", ignore=shutil.ignore_patterns("code"))
    (sweep / "launch.json").write_text(json.dumps({"name": "sweepmaker-261123-100000-abcdef"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def options(*overrides: str) -> settings.Options:
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        return settings.options(compose("deploy", overrides=list(overrides)))


SWEEP = "multirun/2026-11-23/10-00-00"
OTHER = "outputs/2026-11-23/11-00-00"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([f"run={OTHER}"], OTHER),
        ([f"run={OTHER}/model"], OTHER),
        ([f"run={SWEEP}/0"], f"{SWEEP}/0"),
        ([f"run={SWEEP}"], f"{SWEEP}/2"),
        (["run=sweepmaker-261123-100000-abcdef"], f"{SWEEP}/2"),
        (["run=best"], OTHER),
        (["run=best", "runs=multirun"], f"{SWEEP}/2"),
        (["runs=[multirun,outputs]"], OTHER),
        (["run=multirun"], f"{SWEEP}/2"),
    ],
)
def test_every_form_of_run(place: Path, words: list[str], found: str) -> None:
    assert find.model_folder(options(*words)).resolve() == (place / found / "model").resolve()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["run=nowhere"],
            "there is no folder and no job nowhere; jobs here: sweepmaker-261123-100000-abcdef",
        ),
        (["run=deploy.txt"], "deploy.txt is a file"),
        (["run=empty"], "there is no run in empty"),
        (["run=best", "runs=none*"], "nothing matches none*"),
        (["run=unfinished"], "unfinished holds no model"),
        (["run=best", "runs=unfinished"], "unfinished holds no model"),
        (["run=failed"], "failed holds no model"),
        (["run=best", "runs=failed"], "none of 1 runs has a value"),
        (["run=" + "x" * 5000], "is no name of a folder"),
    ],
)
def test_what_is_not_there_is_one_message(place: Path, words: list[str], said: str) -> None:
    (place / "deploy.txt").write_text("")
    (place / "empty").mkdir()
    make_run(place / "unfinished", state="interrupted")
    make_run(place / "failed", state="failed")
    with pytest.raises(ConfigError) as error:
        find.model_folder(options(*words))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "run: is needed"),
        (["run=x", "runs=y"], "runs: goes with run=best"),
        (["run=x", "action=predict"], "images: is needed"),
        (["run=x", "engine=onyx"], "engine: 'onyx' is not allowed"),
        (["run=x", "threads=0"], "threads: 0 is not allowed"),
        (["run=x", "threads=auto"], "threads: 'auto' is not allowed"),
        (["run=x", "port=70000"], "port: 70000 is not allowed"),
        (["run=x", "workers=0"], "workers: 0 is not allowed\n  allowed: auto, or a whole number"),
        (["run=x", "batch=3"], "batch: 3 is not allowed"),
        (["run=x", "batch.max=0"], "batch.max: 0 is not allowed"),
        (["run=x", "batch.latency_ms=-1"], "batch.latency_ms: -1 is not allowed"),
        (["run=x", "limits.payload_mb=0"], "limits.payload_mb: 0 is not allowed"),
        (["run=x", "limits.pixels=1.5"], "limits.pixels: 1.5 is not allowed"),
        (["run=x", "limits.timeout_s=null"], "limits.timeout_s: None is not allowed"),
        (["run=x", "top_k=0"], "top_k: 0 is not allowed"),
        (["run=x", "+top=3"], "top: there is no such key; did you mean top_k?"),
        (["run=x", "+batch.masx=3"], "batch.masx: there is no such key; did you mean batch.max?"),
        (["run=x", "+limits.foo=1"], "limits.foo: there is no such key"),
        (["run=x", "~port"], "port: is needed"),
        (["run=3"], "run: 3 is not allowed"),
        (["runs=[]"], "runs: [] is not allowed"),
    ],
)
def test_settings_are_checked_before_anything_is_looked_at(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        options(*words)
    assert said in str(error.value)


def test_defaults_are_those_of_the_handler() -> None:
    """Whoever calls the handler without a config gets the limits that conf/deploy.yaml has."""
    found: Any = options("run=x").limits
    assert found == settings.Limits()


def test_half_a_model_is_told_by_whoever_reads_it(place: Path, model: Path) -> None:
    shutil.copytree(model, place / "half", ignore=shutil.ignore_patterns("code", "model.json"))
    assert find.model_folder(options("run=half")) == Path("half")
