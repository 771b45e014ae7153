"""Requests against the service model: the limits that botocore does not check, and those that it does."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from launchers.limits import model, violations
from launchers.limits.patterns import matches
from tests.limits.good import GONE, TRAINING, TUNING, full, good, spoiled

NAME = "HyperParameterTuningJobName"
SERVICE: Mapping[str, Any] = Loader().load_service_model("sagemaker", "service-2")

BAD: list[tuple[dict[str, Any], str, str, str]] = [
    # required and unknown members
    ({NAME: GONE}, NAME, "is missing", "text"),
    ({"job.RoleArn": GONE}, "job.RoleArn", "is missing", "text"),
    ({"job.VpcConfig.Subnets": GONE}, "job.VpcConfig.Subnets", "is missing", "list"),
    ({"channel.ChannelName": GONE}, "channel.ChannelName", "is missing", "text"),
    ({"config.RandomSed": 1}, "config.RandomSed", "'RandomSed' is not a member", "RandomSeed"),
    ({"TAGS": []}, "TAGS", "'TAGS' is not a member", "Tags"),
    # types
    ({"jobs": "20"}, "jobs", "'20' is not a whole number", "whole"),
    ({"jobs": 20.0}, "jobs", "20.0 is not a whole number", "whole"),
    ({"jobs": True}, "jobs", "True is not a whole number", "whole"),
    ({"spot": "true"}, "spot", "'true' is not true or false", "true"),
    ({"spot": 0}, "spot", "0 is not true or false", "true"),
    ({"lr.MaxValue": 0.1}, "lr.MaxValue", "0.1 is not text", "text"),
    ({"lr.MaxValue": None}, "lr.MaxValue", "is null", "text"),
    ({"config.TuningJobCompletionCriteria.TargetObjectiveMetricValue": 10**400},
     "config.TuningJobCompletionCriteria.TargetObjectiveMetricValue", "hundreds of digits is", "number"),
    ({"job.VpcConfig": {5: "x"}}, "job.VpcConfig", "5 is not the name of a member", "text"),
    ({"job": "x"}, "job", "str value is not a structure", "structure"),
    ({"job.Environment": [1]}, "job.Environment", "list value is not a map", "map"),
    ({"Tags": {"a": "b"}}, "Tags", "is not a list", "list"),
    ({"job.Environment": {5: "x"}}, "job.Environment[5]", "5 is not text", "text"),
    ({"config.TuningJobCompletionCriteria.TargetObjectiveMetricValue": float("nan")},
     "config.TuningJobCompletionCriteria.TargetObjectiveMetricValue", "nan is not a number", "a number"),
    ({"config.TuningJobCompletionCriteria.TargetObjectiveMetricValue": float("inf")},
     "config.TuningJobCompletionCriteria.TargetObjectiveMetricValue", "inf is not a number", "a number"),
    # minimums and maxima
    ({NAME: ""}, NAME, "has 0 characters", "1 to 32"),
    ({NAME: "a" * 33}, NAME, "has 33 characters", "1 to 32"),
    ({"limits.MaxParallelTrainingJobs": 0}, "limits.MaxParallelTrainingJobs", "0 is", "1 to 2147483647"),
    ({"limits.MaxRuntimeInSeconds": 119}, "limits.MaxRuntimeInSeconds", "119 is outside", "120 to 15768000"),
    ({"config.RandomSeed": -1}, "config.RandomSeed", "-1 is outside", "0 to 2147483647"),
    ({"config.RandomSeed": 2**31}, "config.RandomSeed", "2147483648 is outside", "0 to 2147483647"),
    ({"job.RetryStrategy.MaximumRetryAttempts": 31}, "job.RetryStrategy.MaximumRetryAttempts",
     "31 is", "1 to 30"),
    ({"job.StoppingCondition.MaxPendingTimeInSeconds": 1799}, "job.StoppingCondition.MaxPendingTimeInSeconds",
     "1799 is outside", "1800 to 2419200"),
    ({"net.Values": []}, "net.Values", "has 0 items", "1 to 30"),
    ({"net.Values": [str(i) for i in range(31)]}, "net.Values", "has 31 items", "1 to 30"),
    ({"net.Values[0]": "v" * 257}, "net.Values[0]", "has 257 characters", "0 to 256"),
    ({"job.VpcConfig.SecurityGroupIds": ["sg-1"] * 6}, "job.VpcConfig.SecurityGroupIds", "6 items", "1 to 5"),
    ({"Tags": [{"Key": f"k{i}", "Value": ""} for i in range(51)]}, "Tags", "51 items", "0 to 50"),
    ({"job.Environment": {f"V{i}": "" for i in range(49)}}, "job.Environment", "49 entries", "0 to 48"),
    ({"static": {"k" * 257: "v"}}, f"static['{'k' * 27}...{'k' * 28}']", "257 characters", "0 to 256"),
    ({"static.long": "v" * 2501}, "static['long']", "2501 characters", "0 to 2500"),
    ({"metrics[0].Regex": "(x)" * 167}, "metrics[0].Regex", "501 characters", "1 to 500"),
    # values and patterns
    ({"config.Strategy": "bayesian"}, "config.Strategy", "'bayesian' is not one", "Bayesian | Random | "),
    ({"resources.InstanceType": "g5.xlarge"}, "resources.InstanceType", "'g5.xlarge' is", "ml.g5.xlarge"),
    ({NAME: "my_job"}, NAME, "'my_job' does not match", "letters, digits and hyphens"),
    ({NAME: "job-"}, NAME, "'job-' does not match", "a letter or digit at both ends"),
    ({"job.RoleArn": "arn:aws:iam::12345:role/train"}, "job.RoleArn", "does not match", "a role's ARN"),
    ({"job.OutputDataConfig.S3OutputPath": "bucket/x"}, "job.OutputDataConfig.S3OutputPath",
     "'bucket/x' does", "s3://bucket/prefix"),
    ({"job.Environment": {"MY-VAR": "x"}}, "job.Environment['MY-VAR']", "'MY-VAR' does", "underscores"),
    ({"Tags[0].Value": "a*b"}, "Tags[0].Value", "'a*b' does not match", "letters, digits, spaces"),
    ({"static.two": "a\nb"}, "static['two']", "'a\\nb' does not match", "one line"),
    ({"static.two": "a\rb"}, "static['two']", "'a\\rb' does not match", "one line"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message", "allowed"), BAD, ids=lambda value: str(value)[:60])
def test_what_does_not_fit_the_model_is_told(
    changes: dict[str, Any], path: str, message: str, allowed: str
) -> None:
    found = violations(TUNING, spoiled(TUNING, changes))
    paths = (full(path), path)
    fitting = [
        one for one in found if one.path in paths and message in one.message and allowed in one.allowed
    ]
    assert fitting, found


def test_more_than_botocore_finds() -> None:
    """Why this part exists: botocore lets maxima, patterns and enums pass."""
    request = spoiled(
        TUNING,
        {
            NAME: "a_b" * 20,
            "config.Strategy": "Magic",
            "limits.MaxRuntimeInSeconds": 10**9,
            "net.Values": ["x"] * 40,
        },
    )
    shape = ServiceModel(SERVICE, "sagemaker").operation_model("CreateHyperParameterTuningJob").input_shape
    assert not ParamValidator().validate(request, shape).has_errors()
    found = {one.path for one in violations(TUNING, request)}
    assert found >= {
        full(path) for path in (NAME, "config.Strategy", "limits.MaxRuntimeInSeconds", "net.Values")
    }


def test_close_names_are_offered() -> None:
    request = spoiled(
        TUNING, {"config.Stratgy": "Grid", "resources.InstanceType": "ml.g5.xxlarge", "jobs": "20"}
    )
    fixes = {one.path.rpartition(".")[2]: one.fix for one in violations(TUNING, request)}
    assert fixes["Stratgy"] == "did you mean Strategy?"
    assert fixes["InstanceType"].startswith("did you mean ml.g5.")
    assert fixes["MaxNumberOfTrainingJobs"] == "write it without quotes"


def test_long_lists_of_values_are_clipped() -> None:
    [found] = violations(TUNING, spoiled(TUNING, {"resources.InstanceType": "quantum"}))
    assert found.allowed.endswith("more)") and len(found.allowed) < 250


@pytest.mark.parametrize(
    "path",
    ["job.DebugHookConfig", "job.ProfilerConfig", "algorithm.ContainerEntrypoint", "job.ExperimentConfig"],
)
def test_members_of_training_jobs_are_named_as_such(path: str) -> None:
    [found] = violations(TUNING, spoiled(TUNING, {path: {}}))
    assert found.path == full(path) and "single training jobs" in found.fix


def test_all_mistakes_are_told_at_once() -> None:
    found = violations(TUNING, spoiled(TUNING, {NAME: "a_b", "jobs": "x", "job.RoleArn": GONE, "spot": 1}))
    assert [one.path for one in found] == [full(path) for path in (NAME, "jobs", "job.RoleArn", "spot")]


def test_unions_have_exactly_one_member() -> None:
    name = "CollectionConfig"
    assert SERVICE["shapes"][name]["union"]
    assert [one.message for one in model.violations(name, {})] == ["0 of its members are set"]
    assert list(model.violations(name, {"VectorConfig": {"Dimension": 3}})) == []


def test_times_and_made_up_tokens() -> None:
    window = {"CreationTimeAfter": datetime.datetime(2026, 1, 2), "CreationTimeBefore": "2026-01-02T03:04:05"}
    assert violations("list_training_jobs", window) == []
    [found] = violations("list_training_jobs", {"CreationTimeAfter": "yesterday"})
    assert "'yesterday' is not a time" in found.message
    assert violations("list_training_jobs", {"CreationTimeAfter": 1_767_323_045.5}) == []
    # required, but boto3 makes it
    assert "ClientRequestToken" not in [one.path for one in violations("create_pipeline", {})]


@pytest.mark.parametrize(
    "operation", ["", "CreateTrainingJob", "create_train_job", "create-training-job", "nothing"]
)
def test_an_unknown_operation_is_an_error(operation: str) -> None:
    with pytest.raises(ValueError, match="no operation"):
        violations(operation, {})


def test_the_whole_model_can_be_walked() -> None:
    for operation in model._service()[1]:
        assert isinstance(violations(operation, {}), list)
    assert {shape["type"] for shape in SERVICE["shapes"].values()} <= set(model._KINDS)


@pytest.mark.timeout(120)
def test_every_pattern_of_the_model_can_be_read_and_is_quick() -> None:
    """Some of the model's patterns take exponential time as they stand; those are rewritten."""
    texts = ["", "\t " * 32 + "\x85", "\U0001f600" * 9]
    for begin in ("", "s3://", "https://", "arn:aws:sagemaker:us-east-1:123456789012:hub-content/"):
        texts += [
            begin + part * 60 + end for part in ("a", "a-", "a.", "a/", "-", "1.", "_a", " ") for end in "!\n"
        ]
    for pattern in {shape["pattern"] for shape in SERVICE["shapes"].values() if "pattern" in shape}:
        for text in texts:
            matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "Zoë Ωμέγα 3Ⅷ\u00a0_.:/=+-@", True),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "smile 😀", False),
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", "a\tb", False),
        (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", "x̂+§!😀", True),
        (r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+", "a b", False),
        (r"arn:[\p{Alnum}\-]+:lambda", "arn:aws-cn:lambda", True),
        (r"arn:[\p{Alnum}\-]+:lambda", "arn:äws:lambda", False),
        (r"([\p{L}]*)${1,128}", "abc", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\t😀", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\n", False),
        (r"\d{12}", "१२३४५६७८९०१२", False),  # Java's \d is ASCII
        (r"[a-z.]*", "a.b", True),
        (r"[a-z.]*", "aXb", False),
        (r"a\.b", "aXb", False),
        (".*", "a\u2028b", False),
        (".*", "abc\n", False),
        (r"[\S\s]*", "a\u2028\nb", True),
        (r".*(?:[ \r\n\t].*)*", "a\r\n b", True),
        (r".*(?:[ \r\n\t].*)*", "a\x85b", False),
        (r"https://([.\-_a-zA-Z0-9]+/?){3,1016}", "https://a/b/c/", True),
        (r"https://([.\-_a-zA-Z0-9]+/?){3,1016}", "https://ab", False),
        (r"https://([.\-_a-zA-Z0-9]+/?){3,1016}", "https://ab//c", False),
        (r"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?", "a--b", True),
        (r"[a-z0-9]([-a-z0-9]*[a-z0-9]){0,39}?", "ab-", False),
    ],
)
def test_patterns_mean_what_java_means(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_neither_boto3_nor_a_session_is_imported() -> None:
    program = (
        "import sys; from launchers.limits import violations; violations('create_training_job', {});"
        "print(*sorted({'boto3', 'botocore.session', 'sagemaker', 'launchers.jobs'} & set(sys.modules)))"
    )
    root = Path(__file__).parent.parent.parent
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


def test_good_requests_fit_botocore_too() -> None:
    service = ServiceModel(SERVICE, "sagemaker")
    for operation, name in ((TUNING, "CreateHyperParameterTuningJob"), (TRAINING, "CreateTrainingJob")):
        shape = service.operation_model(name).input_shape
        assert not ParamValidator().validate(good(operation), shape).has_errors()
        assert violations(operation, good(operation)) == []


def test_a_long_value_is_clipped_and_an_account_masked() -> None:
    [found] = violations(TUNING, spoiled(TUNING, {NAME: "x" * 10_000}))
    assert len(found.message) < 120
    [found] = violations(TRAINING, spoiled(TRAINING, {"RoleArn": "arn:aws:iam::123456789012:user/me"}))
    assert "1234****9012" in found.message and "123456789012" not in found.message
