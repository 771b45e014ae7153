"""Ours and the SDK's tuner, given the same settings: what each of them sends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.aws import ACCOUNT, BUCKET, REGION, ROLE
from tests.jobs.launching import CHECKOUT, sweep
from tests.jobs.sdk_peer import flat, lacking, record, send, without_account

pytestmark = pytest.mark.slow  # importing the SDK takes seconds

KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/own:1"
PAGE = CHECKOUT / "docs" / "sagemaker-sdk.md"

COMMON = [
    f"where.region={REGION}", f"where.role={ROLE}", f"where.bucket={BUCKET}",
    f"where.bucket_owner='{ACCOUNT}'",
    "data=folder", "data.root=s3://photos/dogs/", "job.include_untracked=true", f"job.image={IMAGE}",
    "wait=false",  # the server of these tests takes jobs and runs none
    "lr=tag(log,interval(1e-4,1e-1))", "batch_size=8,16,32", "model.dropout=interval(0,0.5)",
]  # fmt: skip

# Sent by the SDK, and ours differs or has none. Everything else that it sends has to be equal.
EXPLAINED = {
    r"HyperParameterTuningJobName": "a generated name",
    r"TrainingJobDefinition\.StaticHyperParameters\.sagemaker_submit_directory": "a generated key",
    r"TrainingJobDefinition\.StaticHyperParameters\.seed": "static overrides travel with the code",
    r"TrainingJobDefinition\.InputDataConfig\[sm_drivers\].*": "the SDK's drivers, which nothing starts here",
    r"TrainingJobDefinition\.CheckpointConfig\.LocalPath": "the service's own default, spelled out",
    r"TrainingJobDefinition\.OutputDataConfig\.CompressionType": "the service's own default, spelled out",
}
INSTEAD_OF_LIST = {r"TrainingJobDefinition\.ResourceConfig\..*": "sent in place of the list of machines"}


def compared(ours: dict[str, Any], theirs: dict[str, Any], explained: dict[str, str]) -> set[str]:
    """Hold ours equal to the SDK's; returns what ours has and the SDK has not."""
    mine, other = dict(flat(ours)), dict(flat(theirs))
    used = set()
    for path, value in other.items():
        reason = next((pattern for pattern in explained if re.fullmatch(pattern, path)), None)
        if reason is None:
            assert mine.get(path, "not sent") == value, path
        used.add(reason)
    assert set(explained) <= used, "the list of exceptions is longer than needed"
    # false is what the service takes where nothing is sent; the code's channel is how our code travels
    asked = {path: value for path, value in mine.items() if value is not False}
    return {path for path in lacking(asked, other) if "InputDataConfig[code]" not in path}


def ranges() -> dict[str, Any]:
    from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter

    return {
        "lr": ContinuousParameter(1e-4, 1e-1, "Logarithmic"),
        "batch_size": CategoricalParameter(["8", "16", "32"]),
        "model.dropout": ContinuousParameter(0.0, 0.5, "Linear"),
    }


def data_channel(mode: str) -> Any:
    from sagemaker.core.shapes import Channel, DataSource, S3DataSource

    source = S3DataSource(
        s3_data_type="S3Prefix", s3_uri="s3://photos/dogs/", s3_data_distribution_type="FullyReplicated"
    )
    return Channel(channel_name="data", data_source=DataSource(s3_data_source=source), input_mode=mode)


def not_improving() -> Any:
    from sagemaker.core.shapes import BestObjectiveNotImproving

    return BestObjectiveNotImproving(max_number_of_training_jobs_not_improving=4)


def everything() -> tuple[list[str], dict[str, Any]]:
    """One machine type, and every field that one can ask both for."""
    from sagemaker.core import shapes

    lines = [
        f"where.kms_key={KEY}", "where.subnets=[subnet-1,subnet-2]", "where.security_groups=[sg-1]",
        "where.network_isolation=true", "where.encrypt_traffic=true", "job.packages=image",
        "job.instance_type=ml.m5.2xlarge", "job.instance_count=2", "job.volume_gb=70", "job.max_jobs=6",
        "job.max_parallel_jobs=3", "job.max_runtime_s=5000", "job.max_tuning_s=90000",
        "job.max_pending_s=7200",
        "job.spot=true", "job.max_wait_s=9000", "job.retries=2", "job.input_mode=FastFile",
        "job.seed=0", "seed=3",
        "job.environment={A: b}", "job.tags={team: vision}", "job.strategy=Bayesian",
        "job.early_stopping=Auto",
        "job.completion.target=0.95", "job.completion.not_improving_jobs=4",
        "job.completion.on_convergence=true",
        "job.warm_start.parents=[before-1,before-2]",
    ]  # fmt: skip
    names = ("before-1", "before-2")
    parents = [shapes.ParentHyperParameterTuningJob(hyper_parameter_tuning_job_name=name) for name in names]
    job = {
        "compute": {"instance_type": "ml.m5.2xlarge", "instance_count": 2, "volume_size_in_gb": 70,
                    "volume_kms_key_id": KEY, "enable_managed_spot_training": True},
        "networking": {"subnets": ["subnet-1", "subnet-2"], "security_group_ids": ["sg-1"],
                       "enable_network_isolation": True, "enable_inter_container_traffic_encryption": True},
        "stopping": {"max_runtime_in_seconds": 5000, "max_wait_time_in_seconds": 9000,
                     "max_pending_time_in_seconds": 7200},
        "output": {"s3_output_path": f"s3://{BUCKET}/sweepmaker/jobs/", "kms_key_id": KEY},
        "retry": shapes.RetryStrategy(maximum_retry_attempts=2),
        "input_mode": "FastFile", "inputs": [data_channel("FastFile")], "hyperparameters": {"seed": 3},
        "tuner": {
            "objective_metric_name": "valid/top1_best", "hyperparameter_ranges": ranges(),
            "strategy": "Bayesian",
            "objective_type": "Maximize", "max_jobs": 6, "max_parallel_jobs": 3,
            "max_runtime_in_seconds": 90000,
            "early_stopping_type": "Auto", "random_seed": 0,
            "completion_criteria_config": shapes.TuningJobCompletionCriteria(
                target_objective_metric_value=0.95, best_objective_not_improving=not_improving(),
                convergence_detected=shapes.ConvergenceDetected(complete_on_convergence="Enabled"),
            ),
            "warm_start_config": shapes.HyperParameterTuningJobWarmStartConfig(
                warm_start_type="TransferLearning", parent_hyper_parameter_tuning_jobs=parents
            ),
        },
    }  # fmt: skip
    return lines, job


def machines() -> tuple[list[str], dict[str, Any]]:
    """Hyperband over a list of machine types, with a target of zero."""
    from sagemaker.core import shapes

    lines = [
        "job.instances=[{type: ml.g5.xlarge}, {type: ml.g6.xlarge, count: 2, volume_gb: 80}]", "seed=3",
        "job.strategy=Hyperband", "job.hyperband={min_epochs: 2, max_epochs: 9}", "job.seed=11",
        "job.completion.target=0", "job.completion.not_improving_jobs=4", "job.max_instance_hours=null",
    ]  # fmt: skip
    wanted = (("ml.g5.xlarge", 1, 50), ("ml.g6.xlarge", 2, 80))
    bounds = shapes.HyperbandStrategyConfig(min_resource=2, max_resource=9)
    job = {
        "compute": {"instance_type": "ml.g5.xlarge"}, "networking": {}, "input_mode": "File",
        "stopping": {"max_runtime_in_seconds": 14400}, "hyperparameters": {"seed": 3},
        "output": {"s3_output_path": f"s3://{BUCKET}/sweepmaker/jobs/"}, "inputs": [data_channel("File")],
        "instances": [
            shapes.HyperParameterTuningInstanceConfig(
                instance_type=name, instance_count=count, volume_size_in_gb=volume
            )
            for name, count, volume in wanted
        ],
        "tuner": {
            "objective_metric_name": "valid/top1_best", "hyperparameter_ranges": ranges(),
            "strategy": "Hyperband", "max_jobs": 8, "max_parallel_jobs": 2, "random_seed": 11,
            "strategy_config": shapes.HyperParameterTuningJobStrategyConfig(hyperband_strategy_config=bounds),
            "completion_criteria_config": shapes.TuningJobCompletionCriteria(
                target_objective_metric_value=0.0, best_objective_not_improving=not_improving()
            ),
        },
    }  # fmt: skip
    return lines, job


def test_ours_equals_the_sdks_request_and_the_page_lists_what_the_sdk_drops(
    where: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_account(where["endpoint_url"], tmp_path, monkeypatch)
    sent = record(monkeypatch)
    code = tmp_path / "code"
    entry = code / "src" / "sweepmaker" / "container" / "entry.py"
    entry.parent.mkdir(parents=True)
    entry.write_text("")
    dropped: set[str] = set()
    for settings, explained in ((everything, EXPLAINED), (machines, EXPLAINED | INSTEAD_OF_LIST)):
        lines, job = settings()
        addresses = [f"where.{key}={where[key]}" for key in ("endpoint_url", "s3_endpoint_url")]
        sweep(tmp_path / str(len(sent)), *COMMON, *addresses, *lines)
        send(sent[-1], code, job)
        ours, theirs = sent[-2:]
        dropped |= compared(ours, theirs, explained)
    assert dropped == listed("What the SDK's tuner drops")


def listed(heading: str) -> set[str]:
    """The first column of the table below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))
