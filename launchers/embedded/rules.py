"""DebugRuleEvaluationStatuses of a single job that asked for managed rules: from the findings of its own run.

Nothing of the service evaluates rules here; the trial's debugger does, and writes ``debugger/findings.json``,
which is the job's own file and checked like anything from outside.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.embedded.root import ACCOUNT, REGION
from sweepmaker.run import untrusted

KEY = "DebugRuleEvaluationStatuses"
STATUSES = ("InProgress", "NoIssuesFound", "IssuesFound", "Error", "Stopped")
_LARGEST = 4 << 20  # bytes of a findings.json that is read
_LONGEST = 1024  # characters of StatusDetails, as the API has it
_OURS = {"StalledTrainingRule": "StalledTraining"}  # the one name that differs


def begun(name: str, request: Mapping[str, Any], now: float) -> list[dict[str, Any]]:
    """The statuses of a job that has just been created; empty where it asked for no rules."""
    return [
        {
            "RuleConfigurationName": str(asked["RuleConfigurationName"]),
            "RuleEvaluationJobArn": _arn(name, str(asked["RuleConfigurationName"])),
            "RuleEvaluationStatus": "InProgress",
            "LastModifiedTime": now,
        }
        for asked in request.get("DebugRuleConfigurations", [])
    ]


def update(document: dict[str, Any], ml: Path, *, ended: bool = False, stopped: bool = False) -> None:
    """Bring a job's document up to what its run has found.

    Args:
        document: of the job; changed.
        ml: the job's ``/opt/ml``.
        ended: nothing more will come: what was never evaluated is said to be so.
        stopped: somebody ended the job; that nothing was evaluated until then is no error.
    """
    if not document.get(KEY):
        return
    found = findings(ml, str(document["TrainingJobName"]))
    invoked = {
        str(asked["RuleConfigurationName"]): str(asked.get("RuleParameters", {}).get("rule_to_invoke", ""))
        for asked in document.get("DebugRuleConfigurations", [])
    }
    for entry in document[KEY]:
        name = invoked.get(entry["RuleConfigurationName"]) or entry["RuleConfigurationName"]
        report = found.get(_OURS.get(name, name))
        status, detail = _of(report)
        if status is None and ended and entry["RuleEvaluationStatus"] == "InProgress":
            status = "Stopped"
            if report is None:
                detail = f"{name} was not evaluated by the run"
                if found or not stopped:  # others were evaluated, or none in a run that came to its end
                    status, detail = "Error", f"InternalServerError: {detail}"
        if status is not None and status != entry["RuleEvaluationStatus"]:
            entry |= {"RuleEvaluationStatus": status, "LastModifiedTime": time.time()}
            if detail is not None:
                entry["StatusDetails"] = detail[:_LONGEST]


def findings(ml: Path, name: str) -> dict[str, Any]:
    """Rule to its report in the job's findings.json; empty where there is none that can be read."""
    for path in (
        ml / "checkpoints" / name / "run" / "debugger" / "findings.json",
        ml / "output" / "data" / "debugger" / "findings.json",
    ):
        text = untrusted.read_whole(path, _LARGEST)
        if text is None:
            continue
        try:
            rules = json.loads(text)["rules"]
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(rules, dict):
            return rules
    return {}


def _of(report: Any) -> tuple[str | None, str | None]:
    """(status, detail) of a report; a status of None says nothing yet."""
    if not isinstance(report, dict) or report.get("status") not in STATUSES[1:]:
        return None, None
    reason = report.get("reason")
    return report["status"], reason if isinstance(reason, str) else None


def _arn(job: str, rule: str) -> str:
    mark = hashlib.sha256(f"{job} {rule}".encode()).hexdigest()[:8]
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:processing-job/{job.lower()}-{rule.lower()}-{mark}"
