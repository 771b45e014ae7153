"""launch.py as people start it: a process, its streams, its exit code, what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from launchers.aws.clients import connect
from launchers.limits import violations
from tests.jobs.launching import CHECKOUT, account

LR = "lr=tag(log,interval(1e-4,1e-1))"


def run(*lines: str, cwd: Path, **extra: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    environment = {**clean, "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null",
                   "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", **extra}  # fmt: skip
    command = [sys.executable, str(CHECKOUT / "launch.py"), *lines, "job.include_untracked=true"]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def test_dry_run_needs_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    ended = run("-m", "+experiment=b2", LR, "batch_size=8,16,32", "dry_run=true", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["operation"] == "create_hyper_parameter_tuning_job"
    assert "placeholders" in ended.stderr and "instance hours" in ended.stderr
    assert document["request"]["TrainingJobDefinition"]["RoleArn"].startswith("arn:aws:iam::000000000000:")
    assert list(tmp_path.iterdir()) == []


def test_single_job_with_managed_rules(tmp_path: Path) -> None:
    ended = run("+experiment=b2", "debugger.managed=true", "dry_run=true", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    request = json.loads(ended.stdout)["request"]
    assert violations("create_training_job", request) == []
    rules = {rule["RuleParameters"]["rule_to_invoke"] for rule in request["DebugRuleConfigurations"]}
    assert "VanishingGradient" in rules
    assert request["ProfilerConfig"]["ProfilingIntervalInMilliseconds"] == 500


def test_no_credentials_say_what_else_there_is(tmp_path: Path) -> None:
    ended = run("lr=1e-3", "where.region=us-east-1", "where.bucket=some-bucket",
                "where.role=arn:aws:iam::123456789012:role/x", cwd=tmp_path)  # fmt: skip
    assert ended.returncode != 0
    assert "dry_run=true" in ended.stderr and "Traceback" not in ended.stderr
    assert "123456789012" not in ended.stderr + ended.stdout
    assert list(tmp_path.iterdir()) == []


def test_basic_sweeper_sends_single_jobs(tmp_path: Path, where: dict[str, Any], aws_server: str) -> None:
    ended = run(
        "-m", "hydra/sweeper=basic", "lr=1e-3,3e-3", *account(where)[:-1], cwd=tmp_path,
        AWS_ACCESS_KEY_ID="AKIAIOSFODNN7EXAMPLE", AWS_SECRET_ACCESS_KEY="x", AWS_ENDPOINT_URL_STS=aws_server,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    jobs = connect(where).sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert len(jobs) == 2
    assert len(list(tmp_path.glob("multirun/*/*/*/launch.json"))) == 2


def test_the_sweep_of_single_jobs_is_bounded_as_a_whole(tmp_path: Path) -> None:
    ended = run(
        "-m", "hydra/sweeper=basic", "seed=1,2,3", "job.max_instance_hours=5", "dry_run=true", cwd=tmp_path
    )
    assert ended.returncode == 2
    assert "12 hours" in ended.stderr and ended.stdout == ""


def test_configs_from_elsewhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "more" / "experiment").mkdir(parents=True)
    (tmp_path / "more" / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: 2\n")
    ended = run(
        "--config-dir",
        str(tmp_path / "more"),
        "-m",
        "+experiment=mine",
        "seed=1,2",
        "dry_run=true",
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert "would be missing in a trial" in ended.stderr
