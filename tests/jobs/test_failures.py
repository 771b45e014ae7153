"""Each failure of AWS and of the way there is one message: what, which key, what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import botocore.exceptions as raw
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from launchers.aws.clients import connect, identity
from launchers.aws.failures import explain, explained
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import ACCOUNT, KEY_ID, SECRETS, TOKEN

pytestmark = pytest.mark.usefixtures("aws_environment")

WHERE = {"name": "sagemaker", "region": "us-east-1", "profile": "work", "bucket": "sweeps"}
USER = f"arn:aws:sts::{ACCOUNT}:assumed-role/Dev/anna"
TUNING = "CreateHyperParameterTuningJob"


def refusal(
    code: str, message: str = "", operation: str = TUNING, status: int = 400, **more: Any
) -> ClientError:
    about = {"HTTPStatusCode": status, "HTTPHeaders": more.pop("headers", {}), "RetryAttempts": 0}
    answer = {"Error": {"Code": code, "Message": message, **more}, "ResponseMetadata": about}
    return ClientError(answer, operation)


def denied(action: str, resource: str, why: str = "no identity-based policy allows it") -> str:
    return f"User: {USER} is not authorized to perform: {action} on resource: {resource} because {why}"


QUOTA = (
    "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances, with current "
    "utilization of 0 Instances and a request delta of 2 Instances. Please use AWS Service Quotas to request "
    "an increase for this quota."
)
ASSUME = f"Could not assume role arn:aws:iam::{ACCOUNT}:role/x. Please ensure that the role exists"

# error -> the config key it names (None: nothing in the config mends it), and words of the message
CASES: dict[str, tuple[Exception, str | None, list[str]]] = {
    "no credentials": (
        raw.NoCredentialsError(), None, ["no AWS credentials", "where=embedded", "dry_run=true"],
    ),
    "half the credentials": (
        raw.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
        None, ["not complete", "AWS_SECRET_ACCESS_KEY", "where=embedded"],
    ),
    "credentials cannot be fetched": (
        raw.CredentialRetrievalError(provider="custom-process", error_msg="exit 1"),
        None, ["could not be fetched", "custom-process", "exit 1"],
    ),
    "no such profile": (raw.ProfileNotFound(profile="work"), "where.profile", ["'work'", "aws configure"]),
    "no region": (raw.NoRegionError(), "where.region", ["where.region=REGION"]),
    "SSO expired": (
        raw.UnauthorizedSSOTokenError(), None, ["sign-in", "expired", "aws sso login --profile work"],
    ),
    "SSO never done": (raw.SSOTokenLoadError(error_msg="x"), None, ["aws sso login --profile work"]),
    "SSO token refused": (
        raw.TokenRetrievalError(provider="sso", error_msg="x"), None, ["aws sso login --profile work"],
    ),
    "unreadable config": (raw.ConfigParseError(path="~/.aws/config"), None, ["~/.aws/config", "mend"]),
    "no connection": (
        raw.EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/"),
        None, ["cannot be reached", "api.sagemaker.us-east-1", "HTTPS_PROXY"],
    ),
    "connect timeout": (
        raw.ConnectTimeoutError(endpoint_url="https://sts.amazonaws.com"), None, ["cannot be reached", "sts"],
    ),
    "proxy": (
        raw.ProxyConnectionError(proxy_url="http://me:word@proxy:3128"),
        None, ["proxy:3128", "NO_PROXY", "****@"],
    ),
    "certificate": (
        raw.SSLError(endpoint_url="https://x", error="self-signed certificate"),
        None, ["not trusted", "AWS_CA_BUNDLE"],
    ),
    "read timeout": (raw.ReadTimeoutError(endpoint_url="https://x"), None, ["broke", "run it again"]),
    "connection closed": (raw.ConnectionClosedError(endpoint_url="https://x"), None, ["broke", "again"]),
    "a malformed request": (raw.ParamValidationError(report="no X"), None, ["not well-formed", "no X"]),
    "any other of botocore": (raw.UnknownClientMethodError(method_name="x"), None, ["AWS cannot be used"]),
    "expired token": (
        refusal("ExpiredTokenException", f"The security token {TOKEN} is expired"),
        None, ["expired", "aws sso login --profile work", "AWS_SESSION_TOKEN"],
    ),
    "expired token of S3": (refusal("ExpiredToken", operation="PutObject"), None, ["expired"]),
    "unknown key": (
        refusal("InvalidClientTokenId", f"The token {KEY_ID} is invalid"),
        None, ["does not know these credentials", "get-caller-identity"],
    ),
    "unknown key of S3": (refusal("InvalidAccessKeyId"), None, ["does not know these credentials"]),
    "wrong secret key": (refusal("SignatureDoesNotMatch", "x"), None, ["secret key", "clock", "timedatectl"]),
    "signature of the past": (
        refusal("InvalidSignatureException", "Signature expired: 20261123T is now earlier than 20261124T"),
        None, ["clock", "set-ntp"],
    ),
    "clock": (refusal("RequestTimeTooSkewed", "The difference is too large"), None, ["clock", "set-ntp"]),
    "not allowed": (
        refusal("AccessDeniedException", denied(f"sagemaker:{TUNING}", f"arn:aws:sagemaker:r:{ACCOUNT}:x/y")),
        None, [f"refuses sagemaker:{TUNING} on", "assumed-role/Dev/anna", "docs/aws-permissions.md"],
    ),
    "not allowed, without a reason": (
        refusal("AccessDeniedException", "", "StopTrainingJob"),
        None, ["sagemaker:StopTrainingJob", "docs/aws-permissions.md"],
    ),
    "forbidden for good": (
        refusal("AccessDenied", denied("s3:PutObject", "arn:aws:s3:::sweeps/x", "of an explicit deny")),
        None, ["s3:PutObject", "explicit deny"],
    ),
    "role may not be passed": (
        refusal("AccessDeniedException", denied("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/x")),
        "where.role", ["iam:PassRole", "docs/aws-permissions.md"],
    ),
    "bucket of another account": (
        refusal("AccessDenied", "Access Denied", "PutObject", 403),
        "where.bucket", ["s3:PutObject", "does not belong to your own account", "where.bucket_owner="],
    ),
    "HEAD refused": (
        refusal("403", "Forbidden", "HeadBucket", 403), "where.bucket", ["s3:ListBucket", "sweeps"],
    ),
    "HEAD without a reason": (
        refusal("400", "Bad Request", "HeadBucket", 400), None, ["expired credentials", "where.region"],
    ),
    "no bucket": (
        refusal("NoSuchBucket", "x", "PutObject", 404),
        "where.bucket", ["there is no bucket 'sweeps'", "none is ever created", "aws s3 mb s3://sweeps"],
    ),
    "no bucket, asked by HEAD": (
        refusal("404", "Not Found", "HeadBucket", 404), "where.bucket", ["there is no bucket 'sweeps'"],
    ),
    "bucket in another region": (
        refusal("PermanentRedirect", "x", "PutObject", 301, Region="eu-west-1"),
        "where.bucket", ["is in eu-west-1", "run in us-east-1", "where.region=eu-west-1"],
    ),
    "bucket in another region, asked by HEAD": (
        refusal("301", "x", "HeadBucket", 301, headers={"x-amz-bucket-region": "eu-west-3"}),
        "where.bucket", ["is in eu-west-3", "where.region=eu-west-3"],
    ),
    "region of the signature": (
        refusal("AuthorizationHeaderMalformed", "x", "PutObject", Region="eu-west-2"),
        "where.bucket", ["is in eu-west-2"],
    ),
    "quota": (
        refusal("ResourceLimitExceeded", QUOTA),
        None, ["'ml.g5.xlarge for training job usage'", "is 0", "Service Quotas", "job.instance_type"],
    ),
    "quota of endpoints": (
        refusal("ResourceLimitExceeded", QUOTA.replace("training job", "endpoint"), "CreateEndpoint"),
        None, ["'ml.g5.xlarge for endpoint usage'", "this needs more", "endpoint.instance"],
    ),
    "quota without a name": (
        refusal("ServiceQuotaExceededException", "Too many"), None, ["Too many", "Service Quotas"],
    ),
    "throttled": (
        refusal("ThrottlingException", "Rate exceeded"), None, ["slow down", "wait a minute", TUNING],
    ),
    "S3 slows down": (refusal("SlowDown", "x", "PutObject", 503), None, ["slow down", "PutObject"]),
    "name in use": (refusal("ResourceInUse", "Job x exists"), "job.name", ["taken", "Job x exists"]),
    "name of an endpoint in use": (
        refusal("ConflictException", "x exists", "CreateEndpoint"), "name", ["taken", "x exists"],
    ),
    "name of a group of models in use": (
        refusal("ResourceInUse", "x exists", "CreateModelPackageGroup"), "register", ["taken", "another one"],
    ),
    "validation": (
        refusal("ValidationException", f"1 validation error: {ACCOUNT}"),
        None, ["1 validation error: 1234****9012"],
    ),
    "role cannot be assumed": (
        refusal("ValidationException", ASSUME),
        "where.role", ["execution role", "sagemaker.amazonaws.com", "docs/aws-permissions.md"],
    ),
    "key disabled": (
        refusal("KMS.DisabledException", "key is disabled", "PutObject"),
        "where.kms_key", ["encryption key", "key is disabled", "kms:GenerateDataKey"],
    ),
    "key not allowed": (
        refusal("AccessDenied", denied("kms:GenerateDataKey", f"arn:aws:kms:r:{ACCOUNT}:key/k"), "PutObject"),
        "where.kms_key", ["may not kms:GenerateDataKey on arn:aws:kms", "in the key's own policy"],
    ),
    "changed while sent": (refusal("BadDigest", "x", "PutObject"), None, ["changed while"]),
    "server error": (refusal("InternalFailure", "", TUNING, 500), None, ["problem of its own", "again"]),
    "anything else": (refusal("Odd", f"of {ACCOUNT}"), None, [f"Odd to {TUNING}: of 1234****9012"]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_failure_has_its_message(case: str) -> None:
    error, key, words = CASES[case]
    found = explain(error, WHERE)
    assert found is not None
    for word in words:
        assert word in str(found)
    assert found.key == key
    # what the config mends is exit code 2, like every other setting
    assert isinstance(found, ConfigError) == (key is not None)
    assert not [secret for secret in SECRETS if secret in str(found)]


def test_an_error_of_another_kind_is_not_explained() -> None:
    assert explain(ValueError("x")) is None
    with pytest.raises(ZeroDivisionError), explained(WHERE):
        raise ZeroDivisionError
    with pytest.raises(UserError, match="ours"), explained(WHERE):
        raise UserError("ours")


def test_an_error_that_boto3_wrapped_is_found() -> None:
    from boto3.exceptions import S3UploadFailedError

    with pytest.raises(ConfigError, match="no bucket"), explained(WHERE):
        try:
            raise refusal("NoSuchBucket", "x", "PutObject", 404)
        except ClientError as error:
            raise S3UploadFailedError(str(error)) from error


def test_retries_are_counted_in_the_message() -> None:
    error = refusal("ThrottlingException", "Rate exceeded")
    error.response["ResponseMetadata"]["RetryAttempts"] = 4
    assert "5 times" in str(explain(error, WHERE))


def test_a_bucket_owner_that_is_set_is_named_masked() -> None:
    error = refusal("AccessDenied", "Access Denied", "PutObject", 403)
    found = str(explain(error, WHERE | {"bucket_owner": ACCOUNT}))
    assert "account 1234****9012 (where.bucket_owner)" in found


def test_own_addresses_are_what_does_not_answer() -> None:
    error = raw.EndpointConnectionError(endpoint_url="http://127.0.0.1:5000")
    found = explain(error, {"endpoint_url": "http://127.0.0.1:5000"})
    assert found is not None
    assert found.key == "where.endpoint_url"


# --- the same, met for real


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port on the loopback interface that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


def test_nobody_listens(closed_port: int) -> None:
    address = f"http://127.0.0.1:{closed_port}"
    where = {"name": "embedded", "endpoint_url": address, "s3_endpoint_url": address}
    with pytest.raises(UserError, match="nothing answers"):
        identity(connect(where))


def test_a_proxy_that_is_not_there(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:word@127.0.0.1:{closed_port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(UserError, match="the proxy does not answer") as raised:
        identity(connect({}))
    assert "word" not in str(raised.value)


def test_no_credentials_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(UserError, match=r"(?s)no AWS credentials.*where=embedded.*dry_run=true"):
        identity(connect({}))


def test_half_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UserError, match="AWS_SECRET_ACCESS_KEY"):
        identity(connect({}))


def test_an_expired_token_answered_by_sts() -> None:
    clients = connect({"profile": None})
    with Stubber(clients.sts) as stub, pytest.raises(UserError, match="have expired") as raised:
        stub.add_client_error("get_caller_identity", "ExpiredToken", f"{TOKEN} of {ACCOUNT}", 403)
        identity(clients)
    assert raised.value.__suppress_context__  # the original would show what is masked here
