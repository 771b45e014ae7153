"""Endpoint, endpoint config and model of a deployment: whether they are there and ours, their removal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained, is_absent
from launchers.endpoints.request import MARK


@dataclass(frozen=True)
class Kind:
    """What a name may stand for; names as boto3 and the API have them."""

    word: str
    describe: str
    delete: str
    name: str
    arn: str


ENDPOINT = Kind("endpoint", "describe_endpoint", "delete_endpoint", "EndpointName", "EndpointArn")
CONFIG = Kind(
    "endpoint config", "describe_endpoint_config", "delete_endpoint_config", "EndpointConfigName",
    "EndpointConfigArn",
)  # fmt: skip
MODEL = Kind("model", "describe_model", "delete_model", "ModelName", "ModelArn")


def described(clients: Clients, kind: Kind, name: str) -> dict[str, Any] | None:
    """As the service describes it; None where there is none of that name.

    Raises:
        UserError: AWS refused or could not be reached.
    """
    with explained(clients.where):
        try:
            found: dict[str, Any] = getattr(clients.sagemaker, kind.describe)(**{kind.name: name})
        except Exception as error:
            if is_absent(error):
                return None
            raise
    return found


def status_of(endpoint: Mapping[str, Any] | None) -> str | None:
    """Of a described endpoint; None where there is none."""
    return None if endpoint is None else str(endpoint["EndpointStatus"])


def mark_of(clients: Clients, arn: str) -> str | None:
    """The value of the tag of the deployment that made it; None where none of ours did.

    Raises:
        UserError: as `described`.
    """
    with explained(clients.where):
        pages = clients.sagemaker.get_paginator("list_tags").paginate(ResourceArn=arn)
        return next((str(tag["Value"]) for page in pages for tag in page["Tags"] if tag["Key"] == MARK), None)


def remove(clients: Clients, kind: Kind, name: str, ours: Callable[[str | None], bool]) -> bool | None:
    """Delete it where its tag is one of ours.

    Returns:
        whether it was deleted; None where there is none.

    Raises:
        UserError: as `described`.
    """
    found = described(clients, kind, name)
    if found is None:
        return None
    if not ours(mark_of(clients, str(found[kind.arn]))):
        return False
    with explained(clients.where):
        try:
            getattr(clients.sagemaker, kind.delete)(**{kind.name: name})
        except Exception as error:
            if not is_absent(error):
                raise
    return True
