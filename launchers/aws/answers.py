"""An error answer of one of AWS's services, and the message that it becomes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from launchers.aws.masking import masked
from sweepmaker.config.errors import ConfigError, UserError

PERMISSIONS = "docs/aws-permissions.md"
WITHOUT_ACCOUNT = (
    "without an AWS account: where=embedded runs it on this machine, dry_run=true shows what would be sent"
)

# what S3 wants to be allowed, where its refusal does not say
S3_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "HeadObject": "s3:GetObject",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
}


class AgainError(UserError):
    """It may go well another time, and may have gone well this time already.

    ``fix`` says to run it again; whoever knows what a second run would make a second time says more.
    """


@dataclass(frozen=True)
class Refusal:
    """A service's error answer."""

    code: str
    message: str
    operation: str
    """As the API names it: ``CreateTrainingJob``."""
    status: int
    """Of HTTP."""
    bucket_region: str
    """Where S3 says that the bucket is; empty where it does not."""
    retries: int
    where: Mapping[str, Any]

    @classmethod
    def of(cls, error: Any, where: Mapping[str, Any]) -> Refusal:
        """From a botocore ``ClientError``."""
        answer = error.response.get("Error", {})
        about = error.response.get("ResponseMetadata", {})
        region = answer.get("Region") or about.get("HTTPHeaders", {}).get("x-amz-bucket-region") or ""
        return cls(
            code=str(answer.get("Code", "")),
            message=str(answer.get("Message", "")).strip(),
            operation=str(error.operation_name),
            status=int(about.get("HTTPStatusCode") or 0),
            bucket_region=str(region),
            retries=int(about.get("RetryAttempts") or 0),
            where=where,
        )

    @property
    def to_s3(self) -> bool:
        return self.operation in S3_ACTIONS

    @property
    def to_host(self) -> bool:
        """A model or an endpoint was asked for, no job."""
        return self.operation.startswith(("CreateModel", "CreateEndpoint"))


def message(
    text: str, *, key: str | None = None, allowed: str | None = None, fix: str | None = None
) -> UserError:
    """The error to raise, masked; one that a key of the config mends is a `ConfigError`."""
    kind = ConfigError if key else UserError
    return kind(
        masked(text), key=key, allowed=masked(allowed) if allowed else None, fix=masked(fix) if fix else None
    )


def again(text: str, fix: str) -> AgainError:
    """The error to raise, masked, where there is nothing to mend."""
    return AgainError(masked(text), fix=fix)


def sign_in(where: Mapping[str, Any]) -> str:
    """What to type to get fresh credentials."""
    profile = where.get("profile") or os.environ.get("AWS_PROFILE")
    return "aws sso login" + (f" --profile {shlex.quote(str(profile))}" if profile else "")
