"""Waiting until an endpoint is what it is to become."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained
from launchers.aws.masking import masked
from launchers.endpoints.resources import ENDPOINT, Kind, described, mark_of, remove, status_of
from sweepmaker.compare.printing import printable
from sweepmaker.config.errors import UserError

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_LOOK_S = 5.0
_LOOK_HERE_S = 0.3
_LOOKS = 24  # for a deletion to show that it has begun
_LOG_LINES = 20
_LOG_STREAMS = 5  # that are looked into, the latest first


def wait(
    clients: Clients, name: str, until: Callable[[str | None], bool], *, known: str | None = ""
) -> dict[str, Any] | None:
    """Look again and again, and tell each new status, until ``until(status)``.

    Args:
        clients: of the account.
        name: of the endpoint.
        until: what is waited for; a status of None means that there is no such endpoint.
        known: status that has been told already.

    Returns:
        the endpoint as it is then.

    Raises:
        UserError: AWS refused or could not be reached.
    """
    shown = known
    pause = _LOOK_HERE_S if clients.where.get("name") == "embedded" else _LOOK_S
    while True:
        found = described(clients, ENDPOINT, name)
        status = status_of(found)
        if status != shown and (status or shown):
            print(f"{time.strftime('%H:%M:%S')}  {name}  {status or 'deleted'}", file=sys.stderr, flush=True)
            shown = status
        if until(status):
            return found
        time.sleep(pause)


def settled(status: str | None) -> bool:
    """Nothing is being done about it."""
    return status not in IN_PROGRESS


def end(
    clients: Clients,
    kind: Kind,
    name: str,
    ours: Callable[[str | None], bool],
    *,
    known: str | None = "",
) -> bool | None:
    """As `resources.remove`; an endpoint of ours is waited for before and after.

    SageMaker deletes none while something is being done about it. One of others may take its time.

    Args:
        clients: of the account.
        kind: of what is deleted.
        name: of it.
        ours: whether its tag is one of ours.
        known: status of an endpoint that has been told already.

    Raises:
        UserError: as `wait`; an endpoint is still there when its deletion has ended.
    """
    if kind is not ENDPOINT:
        return remove(clients, kind, name, ours)
    found = described(clients, kind, name)
    if found is None:
        return None
    if not ours(mark_of(clients, str(found[kind.arn]))):
        return False
    known = status_of(wait(clients, name, settled, known=known))
    removed = remove(clients, kind, name, ours)
    if removed is not False and (left := wait(clients, name, _Deleted(known), known=known)) is not None:
        reason = printable(masked(left.get("FailureReason") or "SageMaker gave no reason"))
        raise UserError(
            f"endpoint {name} could not be deleted, it is {status_of(left)}: {reason}",
            fix="delete it again later; its endpoint config and model are there still",
        )
    return removed


class _Deleted:
    """For `wait`, whether a deletion is over, well or not: what was asked for shows some time later only.

    One that fails within a single look shows never, where the endpoint was Failed before already.

    Args:
        before: status of the endpoint when it was asked for.
    """

    def __init__(self, before: str | None) -> None:
        self._before = before
        self._begun = False
        self._looks = 0

    def __call__(self, status: str | None) -> bool:
        self._looks += 1
        self._begun = self._begun or status != self._before or self._looks >= _LOOKS
        return status is None or (self._begun and settled(status))


def log_group(name: str) -> str:
    """Where CloudWatch has an endpoint's log."""
    return f"/aws/sagemaker/Endpoints/{name}"


def log_lines(clients: Clients, endpoint: Mapping[str, Any]) -> list[str]:
    """The last lines of a described endpoint's log; empty where they cannot be had.

    The log group outlives an endpoint, so an earlier one of the same name may have left streams in it.
    """
    group = log_group(str(endpoint["EndpointName"]))
    found: list[str] = []
    # what failed is the endpoint: that its log may not be read, or is not there, is not worth an error
    with contextlib.suppress(Exception), explained(clients.where):
        begin = int(endpoint["CreationTime"].timestamp() * 1000)
        streams = clients.logs.describe_log_streams(
            logGroupName=group, orderBy="LastEventTime", descending=True, limit=_LOG_STREAMS
        )["logStreams"]
        for stream in streams:  # when the last event came is known to CloudWatch with some delay only
            if found:
                break
            events = clients.logs.get_log_events(
                logGroupName=group, logStreamName=stream["logStreamName"], startTime=begin, limit=_LOG_LINES
            )
            found = [str(event["message"]).rstrip() for event in events["events"]]
    return [printable(masked(line)) for line in found[-_LOG_LINES:]]
