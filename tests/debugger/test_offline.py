"""Rules asked again over a finished run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.debugger.offline import reevaluate, show
from tests.debugger.networks import adam, conv_net, fired, train
from tests.debugger.test_settings import preset

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|num_workers).*")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, train(folder, conv_net(), optimizer=adam(0.1), epochs=2)


def test_the_same_settings_find_the_same(run: tuple[Path, dict[str, Any]]) -> None:
    folder, document = run
    again = reevaluate(folder, preset("sane"))
    assert json.loads(json.dumps(again)) == document
    assert fired(document)


def test_other_thresholds_find_other_things(run: tuple[Path, dict[str, Any]]) -> None:
    folder, document = run
    assert "WeightUpdateRatio" in fired(document)
    node = preset("sane")
    node["rules"] = {"WeightUpdateRatio": {"large_threshold": 1e6}}
    again = reevaluate(folder, node)
    assert again["rules"]["WeightUpdateRatio"]["status"] == "NoIssuesFound"
    assert show(folder, again) == f"{folder}\ndebugger: 1 rules, no findings"
    node["rules"]["WeightUpdateRatio"]["large_threshold"] = 1e-6
    assert "WeightUpdateRatio" in show(folder, reevaluate(folder, node))


def test_what_is_gone_cannot_be_asked_otherwise(run: tuple[Path, dict[str, Any]]) -> None:
    node = preset("sane")
    node["rules"]["SaturatedActivation"]["threshold_tanh_max"] = 5.0
    with pytest.raises(ConfigError, match=r"observed with 6, and cannot be asked with 5"):
        reevaluate(run[0], node)
    node = preset("sane")
    node["rules"]["StalledTraining"]["threshold"] = 5
    with pytest.raises(ConfigError, match=r"observed with 1800, and cannot be asked with 5"):
        reevaluate(run[0], node)
    with pytest.raises(ConfigError) as caught:  # one line that can be typed, with all that differs
        reevaluate(run[0], preset("aws"))
    fix = str(caught.value)
    assert "threshold_tanh_min=-6 " in fix and "SaturatedActivation.threshold_sigmoid_max=10" in fix


@pytest.mark.parametrize(
    ("parameter", "value", "words"),
    [("steps", 5, "observed with 1, and"), ("distribution_range", 0.001, "observed with null, and")],
)
def test_what_was_not_taken_is_said(
    parameter: str, value: float, words: str, run: tuple[Path, dict[str, Any]]
) -> None:
    node = preset("sane")
    node["rules"]["PoorWeightInitialization"][parameter] = value
    with pytest.raises(ConfigError, match=words) as caught:
        reevaluate(run[0], node)
    assert f"fix: debugger.rules.PoorWeightInitialization.{parameter}=" in str(caught.value)
    node["rules"]["PoorWeightInitialization"] = {"steps": 1, "distribution_range": None, "threshold": 1.01}
    assert reevaluate(run[0], node)["rules"]["PoorWeightInitialization"]["status"] == "NoIssuesFound"


def test_a_rule_that_was_off_cannot_be_asked(tmp_path: Path) -> None:
    off = {"CheckInputImages": None, "WeightUpdateRatio": None}
    train(tmp_path, epochs=1, rules=off, limit_train_batches=3)  # type: ignore[arg-type]
    again = reevaluate(tmp_path, preset("sane"))["rules"]
    assert again["CheckInputImages"]["status"] == "Error"
    assert again["CheckInputImages"]["reason"].startswith("it was off in this run")
    assert again["WeightUpdateRatio"]["status"] == "NoIssuesFound", "its numbers are there anyway"
    assert "it was off in this run" in show(tmp_path, {"rules": again})


def test_a_run_that_goes_on_or_was_cut_off_can_be_asked(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    content = (run[0] / "debugger" / "observations.jsonl.gz").read_bytes()
    (tmp_path / "debugger").mkdir()
    path = tmp_path / "debugger" / "observations.jsonl.gz"
    path.write_bytes(content[: len(content) // 2])
    statuses = {rule["status"] for rule in reevaluate(tmp_path, preset("sane"))["rules"].values()}
    assert "InProgress" in statuses and "NoIssuesFound" not in statuses


def test_without_rules_there_is_nothing_to_ask(run: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(ConfigError, match="there are no rules to ask"):
        reevaluate(run[0], preset("none"))
    asked = show(run[0], reevaluate(run[0], preset("sane")))
    assert "1 of 16 rules has something to say\n" in asked, "nothing is written, so no file is named"


def test_a_run_without_observations_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no observations"):
        reevaluate(tmp_path, preset("sane"))
    (tmp_path / "debugger").mkdir()
    (tmp_path / "debugger" / "observations.jsonl.gz").write_bytes(gzip.compress(b'{"kind": "step"}\n'))
    with pytest.raises(UserError, match="cannot be read"):
        reevaluate(tmp_path, preset("sane"))
