"""Names, region, role and bucket of whoever sends a request, with placeholders for what a dry run lacks."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from launchers.aws.masking import NO_ACCOUNT
from launchers.aws.storage import PLACEHOLDER_BUCKET
from sweepmaker.config.errors import ConfigError


@dataclass(frozen=True)
class Account:
    """What a request is made with."""

    region: str
    role: str
    bucket: str
    missing: tuple[str, ...]
    """Keys that are not set and have a placeholder."""


def mint_name(prefix: str, now: datetime, *, longest: int = 32) -> str:
    """A new job name: ``prefix`` as far as it fits, then the time and six random digits.

    Args:
        prefix: any text; what a name may not hold becomes a hyphen.
        now: in the zone that people shall read.
        longest: characters; 32 for a tuning job, 63 for a training job.

    Returns:
        ``[a-zA-Z0-9](-*[a-zA-Z0-9])*``, at most ``longest`` characters.
    """
    tail = f"{now:%y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    room = longest - len(tail) - 1
    words = re.sub(r"[^a-zA-Z0-9]+", "-", prefix).strip("-")[: max(room, 0)].strip("-")
    return f"{words}-{tail}" if words else tail


def fill_in(where: Any) -> Account:
    """Region, role and bucket of a ``conf/where`` node; what it lacks is filled in."""
    region = where.region or _region_of(where.profile)
    missing = [] if region else ["where.region=us-east-1"]
    region = str(region or "us-east-1")
    partition = "aws"
    for begin, other in (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov")):
        partition = other if region.startswith(begin) else partition
    missing += [f"where.{key}" for key in ("role", "bucket") if not where[key]]
    return Account(
        region=region,
        role=where.role or f"arn:{partition}:iam::{NO_ACCOUNT}:role/unset",
        bucket=where.bucket or PLACEHOLDER_BUCKET,
        missing=tuple(missing),
    )


def _region_of(profile: str | None) -> str | None:
    """The region that `clients.connect` will use, asked without making a client."""
    import botocore.exceptions
    import botocore.session

    try:
        found = botocore.session.Session(profile=profile).get_config_variable("region")
    except botocore.exceptions.BotoCoreError:  # said where the profile is really needed
        found = None
    return found or os.environ.get("AWS_REGION") or None


def unset(missing: Sequence[str], who: str) -> ConfigError:
    """The error for ``where`` without a role or a bucket; ``who`` is "the job runs"."""
    values = {"role": "arn:aws:iam::<account>:role/<name>", "bucket": "<name>"}
    what = {"role": f"the role that {who} as", "bucket": "the bucket for what is uploaded and results"}
    first, *others = missing
    also = "".join(f", and so is where.{key}: {what[key]}" for key in others)
    lines = " ".join(f"where.{key}={values[key]}" for key in missing)
    return ConfigError(
        f"is needed: {what[first]}{also}",
        key=f"where.{first}",
        fix=f"{lines} (docs/aws-permissions.md); without an account: dry_run=true, or where=embedded",
    )
