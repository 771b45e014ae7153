"""``action: stop``: a rule ends the run, and what else has a say in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.debugger.networks import Net, adam, conv_net
from tests.debugger.test_lightning import fit, records

pytestmark = pytest.mark.filterwarnings("ignore:.*(many workers|num_workers).*")


def test_a_finding_can_stop_the_run_and_the_best_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = {"rules": {"WeightUpdateRatio": {"large_threshold": 0.1, "action": "stop"}, "Overfit": {}}}
    debugger = fit(tmp_path, node, Net(conv_net(), adam(0.1)), epochs=5)
    assert debugger.stopped is not None
    assert (debugger.stopped["rule"], debugger.stopped["step"]) == ("WeightUpdateRatio", 0)
    assert len(records(tmp_path, "step")) == 1
    assert len(records(tmp_path, "evaluation")) == 1, "the validation that finds the best model"
    assert capsys.readouterr().err.count("debugger: WeightUpdateRatio at step 0") == 1


STOPS = {"rules": {"WeightUpdateRatio": {"large_threshold": 0.1, "action": "stop"}, "Overfit": {}}}


@pytest.mark.parametrize(("least", "epochs", "ended"), [(2, 5, True), (2, 2, False)])
def test_the_least_number_of_epochs_comes_first(
    least: int, epochs: int, ended: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    debugger = fit(tmp_path, STOPS, Net(conv_net(), adam(0.1)), epochs=epochs, min_epochs=least)
    assert len(records(tmp_path, "evaluation")) == 2
    assert (debugger.stopped is not None) is ended, "a run that did all it should was not stopped"
    assert records(tmp_path, "end")[0]["stopped"] is ended
    told = capsys.readouterr().err
    assert told.count("debugger: the run goes on until trainer.min_epochs=2, and ends then") == 1
    found = json.loads((tmp_path / "debugger" / "findings.json").read_text())["rules"]
    assert found["WeightUpdateRatio"]["status"] == "IssuesFound"


def test_a_rule_that_fires_at_the_very_end_stops_nothing(tmp_path: Path) -> None:
    node = {"rules": {"Overtraining": {"patience_validation": 1, "delta": 100.0, "action": "stop"}}}
    debugger = fit(tmp_path, node, Net(conv_net(), adam()), epochs=2)
    assert debugger.stopped is None
    debugger = fit(tmp_path / "longer", node, Net(conv_net(), adam()), epochs=3)
    assert debugger.stopped is not None and debugger.stopped["rule"] == "Overtraining"
