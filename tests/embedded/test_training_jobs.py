"""Training jobs of the embedded SageMaker, as plain boto3 sees them."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.embedded.sweeping import ENDED, Whole, definition, fixed, until

FAST = ("runtime=process", "poll_s=0.02", "checkpoint_s=0.1", "stop_grace_s=1")
OK = """\
import os, pathlib
print("[metric] score=0.25 epoch=0 step=1;")
print("[metric] score=0.75 epoch=1 step=2;")
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights").write_text("w")
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "table").write_text("t")
"""
BAD = """\
import os, pathlib, sys
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "table").write_text("t")
pathlib.Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the reason")
sys.exit(3)
"""
ENDLESS = """\
import time
print("[metric] score=0.5 epoch=0 step=1;", flush=True)
time.sleep(600)
"""
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\n" + ENDLESS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Whole(tmp_path_factory.mktemp("whole") / "root", *FAST) as found:
        yield found


def send(whole: Whole, name: str, script: str, **more: Any) -> Any:
    """Create a training job of ``script``; the client."""
    client = whole.client("sagemaker")
    code = whole.put_script(script)
    sent = fixed(code, **more.pop("hyperparameters", {}))
    client.create_training_job(TrainingJobName=name, HyperParameters=sent, **definition(whole, code, **more))
    return client


def end(client: Any, name: str) -> dict[str, Any]:
    def ended() -> Any:
        found = client.describe_training_job(TrainingJobName=name)
        return found if found["TrainingJobStatus"] in ENDED else None

    found: dict[str, Any] = until(ended, f"the end of {name}")
    return found


def training(client: Any, name: str) -> None:
    """Wait until its process has printed something."""

    def begun() -> bool:
        return bool(client.describe_training_job(TrainingJobName=name).get("FinalMetricDataList"))

    until(begun, f"{name} training")


def members(whole: Whole, name: str, archive: str) -> list[str] | None:
    """What is in an archive of a job; None where there is none."""
    key = f"jobs/{name}/output/{archive}.tar.gz"
    try:
        data = whole.client("s3").get_object(Bucket=whole.said["bucket"], Key=key)["Body"].read()
    except ClientError:
        return None
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return sorted(tar.getnames())


def test_a_job_that_completes(whole: Whole) -> None:
    client = send(whole, "completes", OK, Tags=[{"Key": "team", "Value": "dogs"}])
    found = end(client, "completes")
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Completed", "Completed")
    transitions = found["SecondaryStatusTransitions"]
    assert [one["Status"] for one in transitions] == [
        "Starting", "Downloading", "Training", "Uploading", "Completed",
    ]  # fmt: skip
    for one, following in itertools.pairwise(transitions):
        assert one["StartTime"] <= one["EndTime"] == following["StartTime"]
    assert found["CreationTime"] <= found["TrainingStartTime"] <= found["TrainingEndTime"]
    assert [(one["MetricName"], one["Value"]) for one in found["FinalMetricDataList"]] == [("score", 0.75)]
    assert found["ModelArtifacts"]["S3ModelArtifacts"].endswith("/jobs/completes/output/model.tar.gz")
    assert members(whole, "completes", "model") == ["weights"]
    assert members(whole, "completes", "output") == ["table"]
    assert "FailureReason" not in found
    tags = client.list_tags(ResourceArn=found["TrainingJobArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "dogs"}]


def test_its_log_is_in_cloudwatch_while_it_runs(whole: Whole) -> None:
    client = send(whole, "talks", ENDLESS)
    training(client, "talks")
    logs = whole.client("logs")
    group = "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="talks/")["logStreams"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
    assert "[metric] score=0.5 epoch=0 step=1;" in [one["message"] for one in events]
    assert client.describe_training_job(TrainingJobName="talks")["TrainingJobStatus"] == "InProgress"
    client.stop_training_job(TrainingJobName="talks")
    assert end(client, "talks")["TrainingJobStatus"] == "Stopped"


def test_a_job_that_fails_says_why_and_keeps_its_output(whole: Whole) -> None:
    found = end(send(whole, "fails", BAD), "fails")
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Failed", "Failed")
    assert found["FailureReason"] == "AlgorithmError: the reason, exit code: 1"
    assert members(whole, "fails", "output") == ["table"]
    assert members(whole, "fails", "model") is None


def test_a_stop_is_a_stop(whole: Whole) -> None:
    client = send(whole, "stopped", ENDLESS)
    training(client, "stopped")
    client.stop_training_job(TrainingJobName="stopped")
    found = end(client, "stopped")
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert found["FinalMetricDataList"][0]["Value"] == 0.5
    with pytest.raises(ClientError, match="status Stopped"):
        client.stop_training_job(TrainingJobName="stopped")


@pytest.mark.parametrize("script", [ENDLESS, DEAF], ids=["hears", "deaf"])
def test_the_time_is_over(whole: Whole, script: str) -> None:
    name = "late-deaf" if script == DEAF else "late"
    client = send(whole, name, script, StoppingCondition={"MaxRuntimeInSeconds": 1})
    found = end(client, name)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert whole.root.joinpath("jobs", name, "log").exists()


def test_an_input_that_is_not_there(whole: Whole) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{whole.said['bucket']}/nowhere/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    found = end(send(whole, "no-input", OK, InputDataConfig=[channel]), "no-input")
    assert found["TrainingJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("ClientError: Data download failed:No S3 objects found")


def test_a_channel_is_read_and_what_the_trial_does_to_it_stays_with_it(whole: Whole) -> None:
    bucket = whole.said["bucket"]
    whole.client("s3").put_object(Bucket=bucket, Key="data/a/b.txt", Body=b"content")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{bucket}/data/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    script = """\
import os, pathlib
file = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"], "a", "b.txt")
assert file.read_text() == "content"
try:
    file.write_text("changed")
except PermissionError:
    pass
"""
    found = end(send(whole, "reads", script, InputDataConfig=[channel]), "reads")
    assert found["TrainingJobStatus"] == "Completed", found["FailureReason"]
    kept = whole.client("s3").get_object(Bucket=bucket, Key="data/a/b.txt")["Body"].read()
    assert kept == b"content"


def test_without_a_limit_it_may_run_for_a_day(whole: Whole) -> None:
    client, code = whole.client("sagemaker"), whole.put_script(OK)
    request = {**definition(whole, code), "RemoteDebugConfig": {"EnableRemoteDebug": False}}
    del request["StoppingCondition"]
    client.create_training_job(TrainingJobName="unlimited", HyperParameters=fixed(code), **request)
    found = end(client, "unlimited")
    assert found["TrainingJobStatus"] == "Completed"
    assert found["StoppingCondition"] == {"MaxRuntimeInSeconds": 86_400}


def test_no_more_than_fifty_tags(whole: Whole) -> None:
    client = send(whole, "tagged", OK, Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(49)])
    arn = end(client, "tagged")["TrainingJobArn"]
    client.add_tags(ResourceArn=arn, Tags=[{"Key": "k49", "Value": "v"}, {"Key": "k0", "Value": "w"}])
    with pytest.raises(ClientError, match="More than 50 tags"):
        client.add_tags(ResourceArn=arn, Tags=[{"Key": "k50", "Value": "v"}, {"Key": "k1", "Value": "w"}])
    tags = {one["Key"]: one["Value"] for one in client.list_tags(ResourceArn=arn)["Tags"]}
    assert (len(tags), tags["k0"], tags["k1"]) == (50, "w", "v")


def test_a_name_is_given_once_and_again_after_a_delete(whole: Whole) -> None:
    client = send(whole, "again", OK)
    end(client, "again")
    with pytest.raises(ClientError) as caught:
        send(whole, "Again", OK)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
    client.delete_training_job(TrainingJobName="again")
    assert not Path(whole.root, "jobs", "again").exists()
    send(whole, "again", OK)
    assert end(client, "again")["TrainingJobStatus"] == "Completed"


def test_pages_filters_and_order(whole: Whole) -> None:
    client = whole.client("sagemaker")
    for number in range(3):
        end(send(whole, f"paged-{number}", OK if number else BAD), f"paged-{number}")
    asked = {"NameContains": "PAGED", "SortBy": "Name", "SortOrder": "Descending", "MaxResults": 2}
    first = client.list_training_jobs(**asked)
    second = client.list_training_jobs(**asked, NextToken=first["NextToken"])
    names = [one["TrainingJobName"] for page in (first, second) for one in page["TrainingJobSummaries"]]
    assert names == ["paged-2", "paged-1", "paged-0"]
    assert "NextToken" not in second
    failed = client.list_training_jobs(NameContains="paged", StatusEquals="Failed")["TrainingJobSummaries"]
    assert [one["TrainingJobName"] for one in failed] == ["paged-0"]
    newest = first["TrainingJobSummaries"][0]["CreationTime"]
    late = client.list_training_jobs(
        NameContains="paged",
        CreationTimeAfter=newest + timedelta(seconds=1),  # boto3 sends whole seconds
    )
    assert late["TrainingJobSummaries"] == []
    with pytest.raises(ClientError, match="NextToken"):
        client.list_training_jobs(NameContains="other", NextToken=first["NextToken"])


REPORTING = """\
import json, os, pathlib
folder = pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "profiler")
folder.mkdir()
rules = {"DataWait": {"triggered": True, "sentence": "It waited."}, "BatchSize": {"triggered": False}}
(folder / "summary.json").write_text(json.dumps({"version": 1, "rules": rules}))
"""
ASKED = ("ProfilerReport", "DataWait", "BatchSize", "Odd")
PROFILER = {
    "ProfilerConfig": {"S3OutputPath": "s3://sweepmaker/p", "ProfilingIntervalInMilliseconds": 500},
    "ProfilerRuleConfigurations": [
        {"RuleConfigurationName": name, "RuleEvaluatorImage": "rules:latest",
         "RuleParameters": {"rule_to_invoke": rule}}
        for name, rule in zip(("all", "data", "batch", "odd"), ASKED, strict=True)
    ],
}  # fmt: skip


def test_profiler_rules_say_what_the_jobs_own_report_says(whole: Whole) -> None:
    client = send(whole, "profiled", REPORTING, **PROFILER)
    begun = client.describe_training_job(TrainingJobName="profiled")
    assert begun["ProfilerConfig"] == PROFILER["ProfilerConfig"] and begun["ProfilingStatus"] == "Enabled"
    found = end(client, "profiled")
    statuses = {one["RuleConfigurationName"]: one for one in found["ProfilerRuleEvaluationStatuses"]}
    assert {name: one["RuleEvaluationStatus"] for name, one in statuses.items()} == {
        "all": "IssuesFound", "data": "IssuesFound", "batch": "NoIssuesFound", "odd": "Error",
    }  # fmt: skip
    told = statuses["data"]["StatusDetails"]
    assert "RuleEvaluationConditionMet: Evaluation of the rule DataWait" in told and "It waited." in told


def test_a_profiler_that_is_switched_off_judges_nothing(whole: Whole) -> None:
    off = PROFILER | {"ProfilerConfig": {"DisableProfiler": True}}
    found = end(send(whole, "unwatched", OK, **off), "unwatched")
    assert found["ProfilingStatus"] == "Disabled" and "ProfilerRuleEvaluationStatuses" not in found


def test_a_job_without_a_report_has_rules_that_ended_in_an_error(whole: Whole) -> None:
    found = end(send(whole, "unprofiled", OK, **PROFILER), "unprofiled")
    assert {one["RuleEvaluationStatus"] for one in found["ProfilerRuleEvaluationStatuses"]} == {"Error"}
