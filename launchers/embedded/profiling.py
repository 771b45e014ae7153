"""Statuses of a training job's profiler rules: what its own report says, in the service's words."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.embedded.root import ACCOUNT, REGION
from sweepmaker.run import untrusted

REPORT = "ProfilerReport"  # AWS's rule that runs all others
_SUMMARY = Path("profiler", "summary.json")
_LONGEST = 1024  # characters of StatusDetails, RuleEvaluationStatus in the API reference
_LARGEST = 1_000_000  # bytes of a summary


def begun(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a job that has just been created answers about its profiler rules; nothing without any."""
    if not document.get("ProfilerConfig"):
        return {}
    if document["ProfilerConfig"].get("DisableProfiler") is True:
        return {"ProfilingStatus": "Disabled"}
    waiting = [_status(document, one, "InProgress") for one in document.get("ProfilerRuleConfigurations", [])]
    return {"ProfilingStatus": "Enabled"} | ({"ProfilerRuleEvaluationStatuses": waiting} if waiting else {})


def ended(document: Mapping[str, Any], output: Path, *, stopped: bool) -> dict[str, Any]:
    """The statuses when the job is over.

    Args:
        document: of the job.
        output: its ``/opt/ml/output/data``, where a run of this project leaves its report.
        stopped: somebody ended the job.
    """
    asked = document.get("ProfilerRuleConfigurations", [])
    if not asked or "ProfilerRuleEvaluationStatuses" not in begun(document):
        return {}
    rules = _rules(output / _SUMMARY)
    return {"ProfilerRuleEvaluationStatuses": [_judged(document, one, rules, stopped) for one in asked]}


def _judged(
    document: Mapping[str, Any], one: Mapping[str, Any], rules: dict[str, Any] | None, stopped: bool
) -> dict[str, Any]:
    if rules is None:
        why = f"The training job left no {_SUMMARY} in /opt/ml/output/data"
        return _status(document, one, "Stopped" if stopped else "Error", why)
    name = str(one.get("RuleParameters", {}).get("rule_to_invoke") or one["RuleConfigurationName"])
    names = list(rules) if name == REPORT else [name]
    if not set(names) <= rules.keys():
        return _status(document, one, "Error", f"The report of this job knows no rule {name}")
    found = [each for each in names if isinstance(rules[each], dict) and rules[each].get("triggered") is True]
    if not found:
        return _status(document, one, "NoIssuesFound")
    said = "; ".join(f"{each}: {rules[each].get('sentence', '')}" for each in found)
    met = f"RuleEvaluationConditionMet: Evaluation of the rule {name} resulted in the condition being met"
    return _status(document, one, "IssuesFound", f"{met} ({said})")


def _rules(path: Path) -> dict[str, Any] | None:
    rules = untrusted.read_object(path, _LARGEST).get("rules")
    return rules if isinstance(rules, dict) else None


def _status(
    document: Mapping[str, Any], one: Mapping[str, Any], status: str, details: str | None = None
) -> dict[str, Any]:
    name = str(one["RuleConfigurationName"])
    job = f"{document['TrainingJobName']}-{name}".lower()[:63].rstrip("-")
    found = {
        "RuleConfigurationName": name,
        "RuleEvaluationJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{job}",
        "RuleEvaluationStatus": status,
        "LastModifiedTime": time.time(),
    }
    return found if details is None else found | {"StatusDetails": details[:_LONGEST]}
