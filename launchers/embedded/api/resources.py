"""What models, endpoint configs, endpoints and model packages have in common: names, ARNs, answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from launchers.embedded.api.training import Body, tags_of
from launchers.embedded.errors import ServiceError
from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.state import CONFIG, ENDPOINT, GROUP, MODEL, PACKAGE, Job, State
from launchers.limits.model import answer_members

WORDS = {
    MODEL: "model",
    CONFIG: "endpoint configuration",
    ENDPOINT: "endpoint",
    GROUP: "model package group",
    PACKAGE: "model package",
}
"""As the service calls them in its messages."""

_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"


def arn(kind: str, name: str) -> str:
    return f"{_ARN}:{kind}/{name.lower()}"


def made(kind: str, name: str, document: Mapping[str, Any], private: Mapping[str, Any]) -> Job:
    """A new one, as Describe will answer it."""
    now = time.time()
    kept = {key: value for key, value in document.items() if key != "Tags"}
    kept |= {"CreationTime": now, "LastModifiedTime": now}
    return Job(kind, name, arn(kind, name), None, kept, dict(private))


def add(state: State, job: Job, body: Body) -> None:
    """
    Raises:
        ServiceError: the name is taken.
    """
    if not state.add(job, tags_of(body)):
        raise ServiceError(
            "ValidationException", f'Cannot create already existing {WORDS[job.kind]} "{job.arn}".'
        )


def find(state: State, kind: str, name: str) -> Job:
    """
    Raises:
        ServiceError: there is none of that name.
    """
    found = state.get(kind, name)
    if found is None:
        raise missing(kind, name)
    return found


def missing(kind: str, name: str) -> ServiceError:
    return ServiceError("ValidationException", f'Could not find {WORDS[kind]} "{arn(kind, name)}".')


def answer(operation: str, document: Mapping[str, Any]) -> Body:
    """As much of ``document`` as the answer of ``operation`` (``DescribeModel``) has members for."""
    members = answer_members(operation)
    return {key: value for key, value in document.items() if key in members}
