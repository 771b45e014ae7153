"""S3 addresses of a definition, held against what the S3 of this server can hold.

The service's own pattern takes anything between ``s3://`` and the next slash, and ``https://``; what no
bucket can be called would fail here only after the training, when nothing can be kept any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from launchers.embedded.api.checks import not_here
from launchers.embedded.errors import ServiceError

# Amazon S3 user guide, "General purpose bucket naming rules"
_BUCKET = re.compile(r"[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")


def check_addresses(definition: Mapping[str, Any]) -> None:
    """
    Raises:
        ServiceError: an address that leads to no bucket.
    """
    for member, address in _addresses(definition):
        check_address(member, address)


def check_address(member: str, address: str) -> None:
    """
    Raises:
        ServiceError: it leads to no bucket.
    """
    if not address.startswith("s3://"):
        raise not_here(f"{member} {ascii(address)[:200]}; give s3://bucket/prefix")
    bucket = address.removeprefix("s3://").partition("/")[0]
    if not _BUCKET.fullmatch(bucket):
        raise ServiceError(
            "ValidationException",
            f"{member} {ascii(address)[:200]} names no bucket: 3 to 63 of a-z, 0-9, . and -.",
        )


def _addresses(definition: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "OutputDataConfig.S3OutputPath", definition["OutputDataConfig"]["S3OutputPath"]
    if "CheckpointConfig" in definition:
        yield "CheckpointConfig.S3Uri", definition["CheckpointConfig"]["S3Uri"]
    for channel in definition.get("InputDataConfig", []):
        if "S3DataSource" in channel["DataSource"]:
            member = f"S3Uri of the channel {channel['ChannelName']}"
            yield member, channel["DataSource"]["S3DataSource"]["S3Uri"]
