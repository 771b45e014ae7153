"""train.py under the debugger: findings on disk and on the console, a run ended by a rule, one without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sweepmaker.metrics import line
from tests.integration.runs import TINY, script, train


@pytest.mark.slow
def test_a_rule_ends_the_run_with_its_best_model(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(*TINY, "lr=3.0", "epochs=5", "debugger.action=stop", f"hydra.run.dir={folder}")
    assert ended.code == 0, ended.err
    record = json.loads((folder / "run.json").read_text())
    assert (record["state"], record["failure"]) == ("stopped", None)
    rule = record["stopped_by"]["rule"]
    assert f"debugger: {rule} at step" in ended.err and f"stopped by rule {rule}:" in ended.err
    found = json.loads((folder / "debugger" / "findings.json").read_text())
    assert found["version"] == 1 and found["preset"] == "sane"
    assert found["rules"][rule]["status"] == "IssuesFound"
    assert found["rules"][rule]["findings"][0]["override"]
    assert (folder / "model" / "model.safetensors").exists()
    assert line.parse(ended.out, "debugger/findings") == [1.0]
    assert "debugger/findings" in (folder / "metrics.csv").read_text().splitlines()[0]
    again = train(f"resume={folder}")
    assert again.code == 0 and "is stopped already" in again.err


def test_without_rules_nothing_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(*TINY, "debug=fast", "debugger=none", f"hydra.run.dir={folder}")
    assert ended.code == 0, ended.err
    assert not (folder / "debugger").exists() and "debugger" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["debugger.rules.Overfit.patience=0"], "error: debugger.rules.Overfit.patience: 0 is not allowed"),
        (["+debugger.rules.Overfitt.patience=3"], "did you mean Overfit?"),
        (["debugger.every_n_steps=often"], "allowed: a whole number from 1, or auto"),
    ],
)
def test_a_mistake_is_answered_before_anything_starts(words: list[str], told: str, tmp_path: Path) -> None:
    ended = train(*TINY, *words, f"hydra.run.dir={tmp_path / 'run'}")
    assert ended.code == 2 and told in ended.err
    assert not (tmp_path / "run").exists()


def test_rules_are_asked_again_over_what_a_run_has_stored(tmp_path: Path) -> None:
    assert train(*TINY, "epochs=1", "test=false", f"hydra.run.dir={tmp_path / 'run'}", cwd=tmp_path).code == 0
    words = ["action=rules", "runs=run"]
    lax = script("compare.py", *words, "debugger.rules.WeightUpdateRatio.large_threshold=1e9", cwd=tmp_path)
    assert lax.code == 0 and "WeightUpdateRatio" not in lax.out, lax.err
    strict = "debugger.rules.WeightUpdateRatio.large_threshold=1e-9"
    asked = script("compare.py", *words, strict, cwd=tmp_path)
    assert asked.code == 0 and asked.out.startswith("run\n") and "WeightUpdateRatio" in asked.out, asked.err
    told = json.loads(script("compare.py", *words, strict, "format=json", cwd=tmp_path).out)
    assert told["runs"][0]["rules"]["WeightUpdateRatio"]["status"] == "IssuesFound"
    assert script("compare.py", *words, "format=csv", cwd=tmp_path).code == 2
    (tmp_path / "run" / "debugger" / "observations.jsonl.gz").unlink()
    gone = script("compare.py", *words, cwd=tmp_path)
    assert gone.code == 1 and "has no observations" in gone.err
