"""What the services answer, and in whose words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from launchers.embedded.errors import ServiceError
from launchers.embedded.services.moto_apps import LOCK
from tests.embedded.serving import (
    Running,
    patient,
    refusal,
    serving,
    signed,
)

calls: list[str] = []


def answer(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    calls.append(operation)
    if operation == "StopTrainingJob":
        raise ServiceError("ValidationException", "it is not running")
    if operation == "DeleteTags":
        raise RuntimeError("a mistake of ours")
    if operation == "ListTags":
        return {"Tags": [{"Key": "arn", "Value": body["ResourceArn"]}]}
    raise ServiceError("UnknownOperationException", f"no {operation}")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("root"), answer) as found:
        found.client("s3").create_bucket(Bucket="bucket")
        found.client("s3").put_object(Bucket="bucket", Key="key", Body=b"contents")
        yield found


def test_sagemaker_is_answered(running: Running) -> None:
    found = running.client("sagemaker").list_tags(ResourceArn="arn:ä")
    assert found["Tags"] == [{"Key": "arn", "Value": "arn:ä"}]
    assert found["ResponseMetadata"]["RequestId"]


def test_sagemaker_refuses_in_its_own_words(running: Running) -> None:
    client = running.client("sagemaker")
    assert refusal(client.stop_training_job, TrainingJobName="a") == (400, "ValidationException")


@pytest.mark.parametrize("mode", ["standard", "legacy", "adaptive"])
def test_what_is_not_there_is_asked_for_once(running: Running, mode: str) -> None:
    calls.clear()
    assert refusal(patient(running, "sagemaker", mode).list_models) == (400, "UnknownOperationException")
    assert calls == ["ListModels"]


def test_our_own_mistake_is_a_500_with_a_traceback(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    code = refusal_of_mistake(running)
    assert code == (500, "InternalFailure")
    assert "a mistake of ours" in capfd.readouterr().err


def refusal_of_mistake(running: Running) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        running.client("sagemaker").delete_tags(ResourceArn="arn:a", TagKeys=["k"])
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def test_missing_endpoints_and_unknown_services_are_refused_at_once(running: Running) -> None:
    runtime = patient(running, "sagemaker-runtime", "standard")
    assert refusal(runtime.invoke_endpoint, EndpointName="e", Body=b"") == (400, "ValidationError")
    wanted = {"EndpointName": "e", "InputLocation": "s3://bucket/key"}
    assert refusal(runtime.invoke_endpoint_async, **wanted) == (400, "UnknownOperationException")
    metrics = patient(running, "sagemaker-metrics", "standard")
    data = [{"MetricName": "a", "Timestamp": 0, "Value": 1.0}]
    assert refusal(metrics.batch_put_metrics, TrialComponentName="t", MetricData=data)[0] == 400
    assert refusal(patient(running, "sqs", "standard").list_queues)[0] == 400
    assert refusal(patient(running, "ec2", "standard").describe_subnets) == (400, "InvalidAction")


def test_what_moto_lacks_is_refused_at_once(running: Running) -> None:
    iam = patient(running, "iam", "standard")
    arguments = {"PolicySourceArn": "arn:aws:iam::123456789012:role/r", "ActionNames": ["s3:GetObject"]}
    assert refusal(iam.simulate_principal_policy, **arguments) == (400, "InvalidAction")
    cloudwatch = patient(running, "cloudwatch", "standard")
    assert refusal(cloudwatch.describe_anomaly_detectors)[0] == 400
    s3 = patient(running, "s3", "standard")
    assert refusal(s3.get_object_torrent, Bucket="bucket", Key="key")[0] == 400


def test_a_body_that_is_no_json_is_refused(running: Running) -> None:
    for body in (b"{", b"[]", b"\xff"):
        status, text = signed(running, "sagemaker", body, {"X-Amz-Target": "SageMaker.ListTags"})
        assert (status, json.loads(text)["__type"]) == (400, "SerializationException")


def test_the_other_services_answer(running: Running) -> None:
    iam = running.client("iam")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    assert iam.get_role(RoleName="r")["Role"]["Arn"] == "arn:aws:iam::123456789012:role/r"
    assert refusal(iam.get_role, RoleName="none") == (404, "NoSuchEntity")
    cloudwatch = running.client("cloudwatch")
    cloudwatch.put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1.0}])
    assert [m["MetricName"] for m in cloudwatch.list_metrics(Namespace="n")["Metrics"]] == ["m"]
    assert running.client("ecr").describe_repositories()["repositories"] == []


def test_the_servers_own_lines_are_in_cloudwatch(running: Running) -> None:
    now = int(time.time() * 1000)
    old = now - 30 * 24 * 3600 * 1000
    running.services.logs.put("/aws/sagemaker/TrainingJobs", "job/algo-1", [(old, "old"), (now, "Ü new")])
    logs = running.client("logs")
    streams = logs.describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="job/"
    )["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == ["job/algo-1"]
    events = logs.get_log_events(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamName="job/algo-1", startFromHead=True
    )["events"]
    assert [(event["timestamp"], event["message"]) for event in events] == [(old, "old"), (now, "Ü new")]
    logs.create_log_group(logGroupName="mine")
    logs.create_log_stream(logGroupName="mine", logStreamName="s")
    logs.put_log_events(
        logGroupName="mine", logStreamName="s", logEvents=[{"timestamp": now, "message": "m"}]
    )
    assert logs.filter_log_events(logGroupName="mine")["events"][0]["message"] == "m"


def test_many_clients_at_once(running: Running) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            s3, sagemaker = running.client("s3"), running.client("sagemaker")
            for turn in range(5):
                body = f"{number} {turn}".encode() * 1000
                s3.put_object(Bucket="bucket", Key=f"many/{number}", Body=body)
                assert s3.get_object(Bucket="bucket", Key=f"many/{number}")["Body"].read() == body
                sagemaker.list_tags(ResourceArn="arn:a")
                running.services.logs.put("many", str(number), [(turn, "x")])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    keys = [key for key, _, _ in running.services.store.list("bucket", "many/")]
    assert keys == [f"many/{number}" for number in range(4)]


def test_sagemaker_does_not_wait_for_moto(tmp_path: Path) -> None:
    with serving(tmp_path) as found, LOCK:
        assert found.client("sagemaker").list_tags(ResourceArn="arn:a")
