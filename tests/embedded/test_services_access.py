"""Who is let in to the endpoint, and what the others are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from launchers.embedded.key import Key
from tests.embedded.serving import (
    Running,
    opened,
    presigned,
    raw,
    refusal,
    serving,
    signed,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("root")) as found:
        found.client("s3").create_bucket(Bucket="bucket")
        found.client("s3").put_object(Bucket="bucket", Key="key", Body=b"contents")
        yield found


OTHERS = {
    "s3": ("list_buckets", {}, "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    "sagemaker": (
        "list_tags",
        {"ResourceArn": "arn:a"},
        "UnrecognizedClientException",
        "InvalidSignatureException",
    ),
    "logs": ("describe_log_groups", {}, "UnrecognizedClientException", "InvalidSignatureException"),
    "sts": ("get_caller_identity", {}, "InvalidClientTokenId", "SignatureDoesNotMatch"),
    "cloudwatch": ("list_metrics", {}, "UnrecognizedClientException", "InvalidSignatureException"),
}


@pytest.mark.parametrize("service", OTHERS)
def test_another_key_is_refused(running: Running, service: str) -> None:
    operation, arguments, unknown, wrong = OTHERS[service]
    stranger = Key("AKIASTRANGERSTRANGER", running.key.secret_access_key)
    liar = Key(running.key.access_key_id, "x" * 40)
    assert refusal(getattr(running.client(service, stranger), operation), **arguments) == (403, unknown)
    assert refusal(getattr(running.client(service, liar), operation), **arguments) == (403, wrong)
    getattr(running.client(service), operation)(**arguments)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/bucket/key", {}),
        ("PUT", "/bucket/new", {}),
        ("DELETE", "/bucket/key", {}),
        ("POST", "/", {"X-Amz-Target": "SageMaker.ListTags"}),
        ("POST", "/", {"Content-Type": "application/x-www-form-urlencoded"}),
        ("POST", "/moto-api/reset", {}),
        ("GET", "/moto-api/", {}),
        ("GET", "/latest/meta-data/iam", {}),
        ("OPTIONS", "/bucket/key", {}),
    ],
)
def test_nothing_is_told_without_a_signature(
    running: Running, method: str, path: str, headers: dict[str, str]
) -> None:
    status, text = raw(running, method, path, headers, b"x" * 100_000)
    assert status == 403
    assert b"contents" not in text
    assert running.client("s3").get_object(Bucket="bucket", Key="key")["Body"].read() == b"contents"


def test_moto_cannot_be_reset(running: Running) -> None:
    for service in ("sts", "iam", "logs", "sagemaker"):
        assert signed(running, service, b"", {}, "/moto-api/reset")[0] == 400
    for path in ("/moto-api/reset", "/moto-api/data.json"):
        url = running.client("s3", signature_version="s3v4").generate_presigned_url(
            "put_object", {"Bucket": "moto-api", "Key": path.removeprefix("/moto-api/")}
        )
        assert opened(url, b"", "PUT")[0] == 404  # a bucket like any other, and not there
    assert running.client("s3").get_object(Bucket="bucket", Key="key")["Body"].read() == b"contents"


def test_presigned_addresses_work_until_they_expire(running: Running) -> None:
    assert opened(presigned(running)) == (200, b"contents")
    assert opened(presigned(running, method="put_object", key="put"), b"by hand", "PUT")[0] == 200
    assert opened(presigned(running, key="put")) == (200, b"by hand")
    status, text = opened(presigned(running, 0))
    assert (status, b"expired" in text) == (403, True)
    assert opened(presigned(running).replace("/key?", "/put?"))[0] == 403


def test_an_old_kind_of_presigned_address_is_named(running: Running) -> None:
    url = running.client("s3").generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "key"})
    status, text = opened(url)
    assert (status, b"s3v4" in text) == (403, True)


def test_web_pages_and_other_names_are_refused(running: Running) -> None:
    url = presigned(running)
    assert opened(url, Origin="http://evil.example")[0] == 403
    assert opened(url, Origin="null")[0] == 403
    path = url.removeprefix(running.url)
    for host in ("evil.example", f"evil.example:{running.server.port}", "127.0.0.1", "127.0.0.1:1"):
        assert raw(running, "GET", path, {"Host": host})[0] == 403
    by_name = running.client("s3", signature_version="s3v4")
    assert by_name.get_object(Bucket="bucket", Key="key")["Body"].read() == b"contents"


def test_localhost_is_us_too(running: Running) -> None:
    client = boto3.session.Session().client(
        "sts",
        endpoint_url=f"http://localhost:{running.server.port}",
        region_name="us-east-1",
        aws_access_key_id=running.key.access_key_id,
        aws_secret_access_key=running.key.secret_access_key,
    )
    assert client.get_caller_identity()["Account"] == "123456789012"


def test_a_tampered_body_is_refused(running: Running) -> None:
    s3, sagemaker = running.client("s3"), running.client("sagemaker")

    def tamper(request: Any, **_: Any) -> None:
        request.body = b"x" * int(request.headers["Content-Length"])

    for client in (s3, sagemaker):
        client.meta.events.register("before-send.*", tamper)
    with pytest.raises(ClientError) as caught:
        s3.put_object(Bucket="bucket", Key="t", Body=b"original")
    assert caught.value.response["Error"]["Code"] in ("XAmzContentSHA256Mismatch", "BadDigest")
    assert refusal(sagemaker.list_tags, ResourceArn="arn:a")[0] == 403
    assert refusal(running.client("s3").get_object, Bucket="bucket", Key="t") == (404, "NoSuchKey")


def test_another_account_cannot_be_asked_for(running: Running) -> None:
    sts = running.client("sts")

    def add(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = "111111111111"

    sts.meta.events.register("before-send.*", add)
    assert sts.get_caller_identity()["Account"] == "123456789012"
