"""The prose rules of a single training job."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.limits import has_gpu, has_local_storage, violations
from tests.limits.good import GONE, KEY, TRAINING, spoiled

RULE = {"RuleConfigurationName": "ProfilerReport", "RuleEvaluatorImage": "x"}
GROUPS = [{"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "InstanceGroupName": "a"}]
PREFERENCES = [{"InstanceType": "ml.c5.xlarge", "InstanceCount": 1}]
BASE = "arn:aws:sagemaker:us-east-1:aws:hub-content/SageMakerPublicHub/Model/llm/1.0.0"
SERVERLESS = {"BaseModelArn": BASE, "JobType": "FineTuning"}
SPOT = "EnableManagedSpotTraining"
REGEX = "AlgorithmSpecification.MetricDefinitions[0].Regex"
RUN = "StoppingCondition.MaxRuntimeInSeconds"
WAIT = "StoppingCondition.MaxWaitTimeInSeconds"
KEEP = "ResourceConfig.KeepAlivePeriodInSeconds"
VOLUME_KEY = "ResourceConfig.VolumeKmsKeyId"
MODE = "InputDataConfig[0].InputMode"
INTERVAL = "ProfilerConfig.ProfilingIntervalInMilliseconds"

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"AlgorithmSpecification": GONE}, "AlgorithmSpecification", "is missing"),
    ({"ResourceConfig": GONE}, "ResourceConfig", "is missing"),
    ({"HyperParameters.x": "v" * 257}, "HyperParameters['x']", "257 characters"),
    ({"HyperParameters.Epochs": "1"}, "HyperParameters['Epochs']", "'epochs' and 'Epochs' differ"),
    ({KEEP: 3601}, KEEP, "3601 s is too long"),
    ({SPOT: True, WAIT: 20_000}, KEEP, "does not go with spot"),
    ({SPOT: True, KEEP: 0}, WAIT, "is missing"),
    ({SPOT: True, KEEP: 0, WAIT: 14_399}, WAIT, "14399 s is less"),
    ({SPOT: False, WAIT: 14_400}, WAIT, "without spot"),
    ({RUN: 2_419_201}, RUN, "2419201 s is too long"),
    ({"ResourceConfig.InstanceGroups": GROUPS}, "ResourceConfig.InstanceGroups", "does not go with"),
    (
        {"ResourceConfig": {"InstanceGroups": GROUPS, "KeepAlivePeriodInSeconds": 60}}, KEEP,
        "does not go with InstanceGroups",
    ),
    ({"ResourceConfig": {}}, "ResourceConfig.InstanceType", "is missing"),
    ({"ResourceConfig.InstanceCount": GONE}, "ResourceConfig.InstanceCount", "is missing"),
    ({"ResourceConfig.InstanceCount": 0}, "ResourceConfig.InstanceCount", "0 instances run nothing"),
    ({"ResourceConfig.SelectedInstanceCount": 1}, "ResourceConfig.SelectedInstanceCount", "is set"),
    (
        {"ResourceConfig": {"InstancePreferences": PREFERENCES}, SPOT: True, WAIT: 20_000},
        "ResourceConfig.InstancePreferences", "does not go with spot",
    ),
    ({VOLUME_KEY: "alias/mine"}, VOLUME_KEY, "'alias/mine' is not a key's id"),
    ({"ResourceConfig.InstanceType": "ml.p4d.24xlarge"}, VOLUME_KEY, "ml.p4d.24xlarge has local storage"),
    ({INTERVAL: 700}, INTERVAL, "700 ms"),
    (
        {"ProfilerRuleConfigurations[1]": RULE}, "ProfilerRuleConfigurations[1].RuleConfigurationName",
        "'ProfilerReport' is there twice",
    ),
    (
        {"DebugRuleConfigurations[1]": RULE}, "ProfilerRuleConfigurations[0].RuleConfigurationName",
        "'ProfilerReport' is there twice",
    ),
    (
        {"InputDataConfig[0].DataSource.S3DataSource.S3DataType": "AugmentedManifestFile"},
        "InputDataConfig[0].DataSource.S3DataSource.S3DataType", "does not go with input mode FastFile",
    ),
    ({"InputDataConfig[0].RecordWrapperType": "RecordIO", MODE: "File"},
     "InputDataConfig[0].RecordWrapperType", "'RecordIO' does not"),
    (
        {MODE: GONE, "AlgorithmSpecification.TrainingInputMode": "FastFile",
         "InputDataConfig[0].DataSource.S3DataSource.S3Uri": "s3://bucket/x.tar"},
        "InputDataConfig[0].DataSource.S3DataSource.S3Uri", "is no whole folder",
    ),
    ({REGEX: "(" * 400}, REGEX, "is no regular expression"),
    ({"Tags[1].Key": "sweepmaker:commit"}, "Tags[1].Key", "is there twice"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_training_job_is_told(changes: dict[str, Any], path: str, message: str) -> None:
    found = violations(TRAINING, spoiled(TRAINING, changes))
    assert [one for one in found if one.path == path and message in one.message], found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"HyperParameters": {f"k{i}": "v" * 256 for i in range(100)}},
        {"ResourceConfig": {"InstanceGroups": GROUPS}},
        {"ResourceConfig": {"InstancePreferences": PREFERENCES}},
        {SPOT: True, WAIT: 14_400, KEEP: GONE},
        {MODE: "Pipe", "InputDataConfig[0].CompressionType": "Gzip"},
        {"OutputDataConfig.KmsKeyId": KEY},
        {"OutputDataConfig.KmsKeyId": "mrk-0123456789abcdef0123456789abcdef"},
        {"AlgorithmSpecification.MetricDefinitions": GONE},
        {"AlgorithmSpecification": GONE, "ResourceConfig": GONE, "ServerlessJobConfig": SERVERLESS},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_good_training_job_passes(changes: dict[str, Any]) -> None:
    assert violations(TRAINING, spoiled(TRAINING, changes)) == []


@pytest.mark.parametrize(
    ("instance_type", "local"),
    [
        ("ml.g5.xlarge", True),
        ("ml.r5d.large", True),
        ("ml.c5.xlarge", False),
        ("ml.m5.large", False),
        ("g5", False),
    ],
)
def test_instances_with_disks_of_their_own(instance_type: str, local: bool) -> None:
    assert has_local_storage(instance_type) is local


@pytest.mark.parametrize(
    ("instance_type", "gpu"),
    [
        ("ml.g5.xlarge", True),
        ("ml.g4dn.xlarge", True),
        ("ml.gr6.4xlarge", True),
        ("ml.p4d.24xlarge", True),
        ("ml.p6-b200.48xlarge", True),
        ("g5.xlarge", True),
        ("ml.m5.large", False),
        ("ml.c6g.large", False),  # Graviton's g
        ("ml.trn1.2xlarge", False),
        ("ml.inf2.xlarge", False),
        ("ml.geospatial.interactive", False),
        ("", False),
    ],
)
def test_instances_with_gpus(instance_type: str, gpu: bool) -> None:
    assert has_gpu(instance_type) is gpu
