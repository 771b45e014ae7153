"""Rule statuses of single jobs that asked for managed rules: from the run's own findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded import rules
from launchers.embedded.api import documents
from launchers.embedded.root import BUCKET
from launchers.embedded.runtimes import linux
from tests.embedded.lives import Lives, statuses
from tests.embedded.sweeping import until

NAME = "my-job"


def document() -> dict[str, Any]:
    names = {"vanishing": "VanishingGradient", "stalled": "StalledTrainingRule", "other": "Other"}
    asked = [
        {"RuleConfigurationName": name, "RuleParameters": {"rule_to_invoke": invoked}}
        for name, invoked in names.items()
    ]
    job = documents.training_job({
        "TrainingJobName": NAME, "AlgorithmSpecification": {}, "DebugRuleConfigurations": asked,
    })  # fmt: skip
    return job.document


def write(ml: Path, content: str) -> Path:
    path = ml / "checkpoints" / NAME / "run" / "debugger" / "findings.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def shown(told: dict[str, Any]) -> dict[str, str]:
    return {entry["RuleConfigurationName"]: entry["RuleEvaluationStatus"] for entry in told[rules.KEY]}


def test_statuses_follow_the_findings(tmp_path: Path) -> None:
    told = document()
    assert set(shown(told).values()) == {"InProgress"}
    reason = "RuleEvaluationConditionMet: Evaluation of the rule VanishingGradient at step 3 resulted in"
    found = {
        "VanishingGradient": {"status": "IssuesFound", "reason": reason},
        "StalledTraining": {"status": "InProgress"},
    }
    write(tmp_path, json.dumps({"rules": found}))
    rules.update(told, tmp_path)
    assert shown(told) == {"vanishing": "IssuesFound", "stalled": "InProgress", "other": "InProgress"}
    assert told[rules.KEY][0]["StatusDetails"] == reason
    found["StalledTraining"]["status"] = "NoIssuesFound"
    write(tmp_path, json.dumps({"rules": found}))
    rules.update(told, tmp_path, ended=True)
    assert shown(told) == {"vanishing": "IssuesFound", "stalled": "NoIssuesFound", "other": "Error"}
    assert "Other was not evaluated" in told[rules.KEY][2]["StatusDetails"]


def test_what_was_found_stays_where_the_file_is_gone_at_the_end(tmp_path: Path) -> None:
    told = document()
    path = write(tmp_path, json.dumps({"rules": {"VanishingGradient": {"status": "IssuesFound"}}}))
    rules.update(told, tmp_path)
    path.unlink()
    rules.update(told, tmp_path, ended=True)
    assert shown(told) == {"vanishing": "IssuesFound", "stalled": "Error", "other": "Error"}


def test_a_job_that_was_stopped_before_anything_was_evaluated_has_no_error(tmp_path: Path) -> None:
    told = document()
    rules.update(told, tmp_path, ended=True, stopped=True)
    assert set(shown(told).values()) == {"Stopped"}
    assert told[rules.KEY][2]["StatusDetails"] == "Other was not evaluated by the run"


@pytest.mark.skipif(not linux.HERE, reason="/opt/ml is a private one on Linux only")
def test_the_rules_of_a_job_stopped_while_it_waits_are_stopped(tmp_path: Path) -> None:
    asked = [{"RuleConfigurationName": "Overfit", "RuleEvaluatorImage": "rules:latest"}]
    watched = {"ProfilerConfig": {"S3OutputPath": f"s3://{BUCKET}/p"}, "ProfilerRuleConfigurations": asked}
    lives = Lives(tmp_path)
    try:
        assert lives.parts.slots.take(1, lambda: False) is not None
        lives.add(NAME, "", DebugRuleConfigurations=asked, **watched)
        with lives.running(NAME) as life:
            until(lambda: statuses(lives.document(NAME))[-1] == "Pending", "Pending")
            life.stop("user")
        found = lives.document(NAME)
    finally:
        lives.close()
    assert found["TrainingJobStatus"] == "Stopped"
    for kind in ("DebugRule", "ProfilerRule"):
        assert [one["RuleEvaluationStatus"] for one in found[f"{kind}EvaluationStatuses"]] == ["Stopped"], (
            kind
        )


def test_a_rule_that_a_stopped_run_does_not_know_is_an_error(tmp_path: Path) -> None:
    told = document()
    found = {"VanishingGradient": {"status": "IssuesFound"}, "StalledTraining": {"status": "InProgress"}}
    write(tmp_path, json.dumps({"rules": found}))
    rules.update(told, tmp_path, ended=True, stopped=True)
    assert shown(told) == {"vanishing": "IssuesFound", "stalled": "Stopped", "other": "Error"}


def test_a_job_without_rules_has_no_statuses() -> None:
    job = documents.training_job({"TrainingJobName": NAME, "AlgorithmSpecification": {}})
    assert rules.KEY not in job.document


JUNK = (
    "", "[]", '{"rules": 3}', '{"rules": {"VanishingGradient": 3}}', "[" * 100_000,
    '{"rules": {"VanishingGradient": {"status": "Haha", "reason": 7}}}',
)  # fmt: skip


@pytest.mark.parametrize("content", JUNK)
def test_a_job_s_file_may_hold_anything(tmp_path: Path, content: str) -> None:
    told = document()
    write(tmp_path, content)
    rules.update(told, tmp_path)
    assert set(shown(told).values()) == {"InProgress"}


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    report = {"status": "Error", "reason": "secret"}
    secret.write_text(json.dumps({"rules": {"VanishingGradient": report}}))
    path = write(tmp_path / "ml", "")
    path.unlink()
    path.symlink_to(secret)
    told = document()
    rules.update(told, tmp_path / "ml")
    assert set(shown(told).values()) == {"InProgress"}
