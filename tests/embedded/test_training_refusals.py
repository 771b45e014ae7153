"""What the embedded SageMaker refuses of training jobs, as plain boto3 sees it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from tests.embedded.serving import opened
from tests.embedded.sweeping import Whole, definition, fixed

ARN = "arn:aws:sagemaker:us-east-1:123456789012:mlflow-app/app-X1"
PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/plan"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Whole(tmp_path_factory.mktemp("whole") / "root", "runtime=process") as found:
        yield found


@pytest.fixture(scope="module")
def client(whole: Whole) -> Any:
    return whole.client("sagemaker")


@pytest.mark.parametrize(
    ("call", "arguments", "code", "told"),
    [
        ("describe_training_job", {"TrainingJobName": "nobody"}, "ValidationException", "not found"),
        ("stop_training_job", {"TrainingJobName": "nobody"}, "ValidationException", "not found"),
        ("describe_hyper_parameter_tuning_job", {"HyperParameterTuningJobName": "nobody"},
         "ResourceNotFound", "nobody"),
        ("list_training_jobs_for_hyper_parameter_tuning_job", {"HyperParameterTuningJobName": "nobody"},
         "ResourceNotFound", "nobody"),
        ("list_training_jobs", {"NextToken": "stolen"}, "ValidationException", "NextToken"),
        ("list_training_jobs", {"NextToken": base64.b64encode(b"[" * 6000).decode()},
         "ValidationException", "NextToken"),
        ("list_training_jobs", {"NextToken": base64.b64encode(b"[%d, {}]" % 10**30).decode()},
         "ValidationException", "NextToken"),
        ("list_training_jobs", {"WarmPoolStatusEquals": "Available"}, "ValidationException", "warm pools"),
        ("list_training_jobs", {"TrainingPlanArnEquals": PLAN}, "ValidationException", "training plans"),
        ("list_domains", {}, "UnknownOperationException", "ListDomains"),
        ("list_tags", {"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/no"},
         "ValidationException", "not find"),
    ],
)  # fmt: skip
def test_what_is_not_there(client: Any, call: str, arguments: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(ClientError, match=told) as caught:
        getattr(client, call)(**arguments)
    assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}},
         "InstanceCount"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/tmp/x"}}, "/tmp/x"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml/../x"}}, "LocalPath"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml"}}, "of their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml/model/"}}, "of their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml/input/x"}}, "their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml//input/x"}}, "their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml/output/x"}}, "their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://sweepmaker/c", "LocalPath": "/opt/ml/./code/x"}}, "their own"),
        ({"CheckpointConfig": {"S3Uri": "s3://ab/c"}}, "names no bucket"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://ab/x"}}, "names no bucket"),
        ({"OutputDataConfig": {"S3OutputPath": f"s3://{'b' * 70}/x"}}, "names no bucket"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://[x/y"}}, "names no bucket"),
        ({"OutputDataConfig": {"S3OutputPath": "s3://sweep\nmaker/y"}}, "names no bucket|pattern"),
        ({"OutputDataConfig": {"S3OutputPath": "https://s3.amazonaws.com/b/k"}}, "give s3://bucket/prefix"),
        ({"InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {
              "S3DataType": "S3Prefix", "S3Uri": "s3://a_b/x"}}}]}, "channel train.*names no bucket"),
        ({"TensorBoardOutputConfig": {"S3OutputPath": "s3://sweepmaker/t"}}, "TensorBoardOutputConfig"),
        ({"RemoteDebugConfig": {"EnableRemoteDebug": True}}, "RemoteDebugConfig"),
        ({"MlflowConfig": {"MlflowResourceArn": ARN}}, "MlflowConfig"),
        ({"InputDataConfig": [{"ChannelName": "..", "DataSource": {"S3DataSource": {
              "S3DataType": "S3Prefix", "S3Uri": "s3://sweepmaker/x"}}}]}, "no folder of its own"),
        ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "Pipe"},
          "InputDataConfig": [{"ChannelName": "c", "DataSource": {"S3DataSource": {
              "S3DataType": "S3Prefix", "S3Uri": "s3://sweepmaker/x"}}}]}, "Pipe"),
        ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File",
          "MetricDefinitions": [{"Name": "m", "Regex": "no group"}]}}, "no group"),
        ({"AlgorithmSpecification": {"TrainingImage": "i", "TrainingInputMode": "File",
          "MetricDefinitions": [{"Name": "m", "Regex": "("}]}}, "regular expression"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 10**9}}, "maxRuntimeInSeconds"),
    ],
)  # fmt: skip
def test_what_is_refused(whole: Whole, client: Any, change: dict[str, Any], told: str) -> None:
    code = f"s3://{whole.said['bucket']}/code.tar.gz"
    request = {"HyperParameters": fixed(code), **definition(whole, code, **change)}
    with pytest.raises(ClientError, match=told) as caught:
        client.create_training_job(TrainingJobName="refused", **request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_a_body_that_is_nested_too_deep_is_the_clients_mistake(whole: Whole) -> None:
    told = whole.said["environment"]
    body = b'{"NameContains": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    head = {"X-Amz-Target": "SageMaker.ListTrainingJobs", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", told["AWS_ENDPOINT_URL"] + "/", head, body)
    credentials = Credentials(told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"])
    SigV4Auth(credentials, "sagemaker", told["AWS_REGION"]).add_auth(request)
    status, answered = opened(request.url, body, "POST", **dict(request.headers.items()))
    assert (status, b"too deep" in answered) == (400, True)
