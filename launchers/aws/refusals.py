"""The error codes of AWS's services, one message each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from launchers.aws.answers import PERMISSIONS, S3_ACTIONS, Refusal, again, message, sign_in
from sweepmaker.config.errors import UserError


def explain(refusal: Refusal) -> UserError:
    """The message for a service's refusal; one that is not known is shown as it came, masked."""
    code = refusal.code.rpartition("#")[2]
    for codes, explanation in _CODES:
        if code in codes:
            return explanation(refusal)
    if code.startswith("KMS."):
        return _kms(refusal)
    if refusal.status >= 500:
        return _unwell(refusal)
    return message(f"AWS answered {code or refusal.status} to {refusal.operation}: {refusal.message}")


def _expired(refusal: Refusal) -> UserError:
    where = (
        "AWS_SESSION_TOKEN in the environment"
        if os.environ.get("AWS_SESSION_TOKEN")
        else "~/.aws/credentials"
    )
    return message(
        "the AWS credentials have expired",
        fix=f"{sign_in(refusal.where)}, or put fresh ones where these are ({where})",
    )


def _unknown_key(refusal: Refusal) -> UserError:
    return message(
        f"AWS does not know these credentials ({refusal.code}): the key was deleted or mistyped, "
        "is of another partition, or the region is not enabled for the account",
        fix="aws sts get-caller-identity shows whose they are; another set: where.profile=NAME",
    )


def _signature(refusal: Refusal) -> UserError:
    if re.search(r"expired|not yet current", refusal.message):
        return _clock(refusal)
    return message(
        f"AWS does not accept the signature ({refusal.code}): the secret key does not belong to the key id, "
        f"or this machine's clock is wrong ({refusal.message})",
        fix="enter the secret key again (aws configure); check the time: timedatectl",
    )


def _clock(refusal: Refusal) -> UserError:
    return message(
        f"this machine's clock differs too much from AWS's: {refusal.message}",
        fix="set the clock: sudo timedatectl set-ntp true",
    )


def _denied(refusal: Refusal) -> UserError:
    found = re.search(r"perform:? ([\w-]+:\w+)", refusal.message)
    action = found[1] if found else S3_ACTIONS.get(refusal.operation, f"sagemaker:{refusal.operation}")
    resource = re.search(r"on resource:? (\S+)", refusal.message)
    on = f" on {resource[1].rstrip('.')}" if resource else ""
    if action.startswith("kms:"):
        return _kms(refusal, f"may not {action}{on}")
    if action == "iam:PassRole":
        return message(
            f"you may not hand this role to SageMaker (iam:PassRole{on})",
            key="where.role",
            fix=f"allow iam:PassRole on it; the policy stands in {PERMISSIONS}",
        )
    if refusal.to_s3 and not found:
        return _bucket_denied(refusal, action)
    deny = (
        " (an explicit deny, which no permission of yours lifts)"
        if "explicit deny" in refusal.message
        else ""
    )
    who = re.search(r"User: (\S+)", refusal.message)
    return message(
        f"AWS refuses {action}{on}{deny}",
        fix=f"allow {action} to {who[1] if who else 'the caller'}; the least policy stands in {PERMISSIONS}",
    )


def _bucket_denied(refusal: Refusal, action: str) -> UserError:
    bucket, owner = refusal.where.get("bucket"), refusal.where.get("bucket_owner")
    whose = f"account {owner} (where.bucket_owner)" if owner else "your own account"
    return message(
        f"S3 refuses {refusal.operation} in {bucket}: either {action} is not allowed, "
        f"or the bucket does not belong to {whose}",
        key="where.bucket",
        fix=f"allow {action} ({PERMISSIONS}); "
        "for a bucket of another account: where.bucket_owner=<its 12 digits>",
    )


def _without_reason(refusal: Refusal) -> UserError:
    return message(  # the answer to HEAD has no body
        f"S3 refuses {refusal.operation} without a reason: expired credentials, or where.region is wrong",
        fix="aws sts get-caller-identity says whether the credentials are good",
    )


def _no_bucket(refusal: Refusal) -> UserError:
    bucket = refusal.where.get("bucket")
    return message(
        f"there is no bucket {bucket!r}",
        key="where.bucket",
        allowed="a bucket that exists: none is ever created for you",
        fix=f"aws s3 mb s3://{bucket}, or where.bucket=NAME",
    )


def wrong_region(bucket: str, bucket_region: str, region: str) -> UserError:
    """A job or an endpoint reads and writes only buckets of its own region."""
    there = bucket_region or "another region"
    return message(
        f"bucket {bucket!r} is in {there}, and this would run in {region}",
        key="where.bucket",
        fix=f"where.region={bucket_region or 'REGION'}, or a bucket in {region}",
    )


def _elsewhere(refusal: Refusal) -> UserError:
    bucket, region = refusal.where.get("bucket"), refusal.where.get("region")
    return wrong_region(str(bucket), refusal.bucket_region, str(region or "the region that is set"))


def _not_found(refusal: Refusal) -> UserError:
    if refusal.operation == "HeadBucket":
        return _no_bucket(refusal)
    return message(f"AWS does not have it: {refusal.message or refusal.operation}")


def _quota(refusal: Refusal) -> UserError:
    limit = re.search(r"(?:limit|quota)s? '([^']+)' is ([\d,.]+)", refusal.message)
    what, less = "the job", "job.instance_type, job.instance_count, job.max_parallel_jobs"
    if refusal.to_host:
        what, less = "this", "endpoint.instance, endpoint.count, endpoint.serverless.memory_mb"
    name, text = "the one that the message names", f"a quota of the account is used up: {refusal.message}"
    if limit is not None:
        name = repr(limit[1])
        text = f"the quota {name} of this account is {limit[2]}, and {what} needs more"
    return message(
        text,
        fix=f"ask for more: Service Quotas > Amazon SageMaker > {name} (per region, takes hours to days); "
        f"or need less: {less}",
    )


def _throttled(refusal: Refusal) -> UserError:
    tries = f" {refusal.retries + 1} times" if refusal.retries else ""
    return again(
        f"AWS asks to slow down and did so{tries} ({refusal.code} to {refusal.operation})",
        fix="wait a minute and run it again",
    )


def in_use(refusal: Refusal) -> UserError:
    """Something else has the name that was asked for."""
    text = f"the name is taken: {refusal.message}"
    if refusal.operation.startswith("CreateModelPackage"):  # without its name it would be an endpoint
        return message(text, key="register", fix="another one")
    key = "name" if refusal.to_host else "job.name"
    return message(text, key=key, fix=f"leave {key} out, or another one")


def _validation(refusal: Refusal) -> UserError:
    if re.search(r"assume (the )?role|role .*(assume|exist)", refusal.message, re.IGNORECASE):
        return message(
            f"SageMaker cannot take on the execution role: {refusal.message}",
            key="where.role",
            fix=f"a role that exists and trusts sagemaker.amazonaws.com (trust policy: {PERMISSIONS})",
        )
    return message(f"AWS refused {refusal.operation}: {refusal.message}")


def _kms(refusal: Refusal, what: str = "") -> UserError:
    return message(
        f"the encryption key cannot be used: {what or refusal.message or refusal.code}",
        key="where.kms_key",
        allowed="an enabled symmetric key of the same region, as id, ARN or alias/NAME",
        fix="allow kms:GenerateDataKey, kms:Decrypt, kms:DescribeKey and kms:CreateGrant on it, "
        f"in the key's own policy too ({PERMISSIONS})",
    )


def _changed(refusal: Refusal) -> UserError:
    return message("a file changed while it was being uploaded", fix="run it again: what was uploaded stays")


def _unwell(refusal: Refusal) -> UserError:
    return again(
        f"AWS has a problem of its own ({refusal.code or refusal.status} to {refusal.operation})",
        fix="run it again in a while",
    )


_CODES: tuple[tuple[frozenset[str], Callable[[Refusal], UserError]], ...] = tuple(
    (frozenset(codes.split()), explanation)
    for codes, explanation in (
        ("ExpiredToken ExpiredTokenException RequestExpired TokenRefreshRequired", _expired),
        ("InvalidClientTokenId UnrecognizedClientException InvalidAccessKeyId AuthFailure InvalidToken "
         "OptInRequired MissingAuthenticationToken MissingAuthenticationTokenException", _unknown_key),
        ("RequestTimeTooSkewed RequestInTheFuture", _clock),
        ("SignatureDoesNotMatch InvalidSignatureException IncompleteSignature", _signature),
        ("AccessDenied AccessDeniedException UnauthorizedOperation AllAccessDisabled NotAuthorized "
         "403", _denied),
        ("400", _without_reason),
        ("NoSuchBucket", _no_bucket),
        ("PermanentRedirect TemporaryRedirect AuthorizationHeaderMalformed "
         "IllegalLocationConstraintException 301 307", _elsewhere),
        ("404 NoSuchKey ResourceNotFound ResourceNotFoundException", _not_found),
        ("ResourceLimitExceeded ServiceQuotaExceededException LimitExceededException", _quota),
        ("ThrottlingException Throttling ThrottledException TooManyRequestsException RequestLimitExceeded "
         "RequestThrottled RequestThrottledException SlowDown BandwidthLimitExceeded", _throttled),
        ("ResourceInUse ResourceInUseException ConflictException", in_use),
        ("ValidationException ValidationError InvalidParameterValue", _validation),
        ("BadDigest XAmzContentSHA256Mismatch InvalidDigest IncompleteBody", _changed),
    )
)  # fmt: skip
