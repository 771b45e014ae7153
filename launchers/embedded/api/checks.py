"""A request held against the service's rules, answered in its words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launchers import limits
from launchers.embedded.errors import ServiceError


def check(operation: str, request: Mapping[str, Any]) -> None:
    """
    Args:
        operation: as boto3 names it, ``create_training_job``.
        request: its arguments.

    Raises:
        ServiceError: ValidationException, with everything that is wrong.
    """
    found = limits.violations(operation, request)
    if not found:
        return
    errors = "; ".join(
        f"at '{_spelled(one.path)}' failed to satisfy constraint: {one.message}"
        + (f" (allowed: {one.allowed})" if one.allowed else "")
        for one in found
    )
    plural = "" if len(found) == 1 else "s"
    raise ServiceError(
        "ValidationException", f"{len(found)} validation error{plural} detected: Value {errors}"
    )


def not_here(what: str) -> ServiceError:
    """For a part of the API that only AWS has."""
    return ServiceError("ValidationException", f"The embedded SageMaker does not have {what}.")


def _spelled(path: str) -> str:
    """As the service spells members in its messages: the first letters small."""
    return ".".join(part[:1].lower() + part[1:] for part in path.split("."))
