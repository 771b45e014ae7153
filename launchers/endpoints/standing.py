"""Waiting until an endpoint is what it is to become."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained
from launchers.aws.masking import masked
from launchers.endpoints.resources import ENDPOINT, described, status_of
from sweepmaker.compare.printing import printable

IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
_LOOK_S = 5.0
_LOOK_HERE_S = 0.3
_LOG_LINES = 20


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


def log_lines(clients: Clients, name: str) -> list[str]:
    """The last lines of the endpoint's log; empty where they cannot be had."""
    group = f"/aws/sagemaker/Endpoints/{name}"
    found: list[str] = []
    # what failed is the endpoint: that its log may not be read, or is not there, is not worth an error
    with contextlib.suppress(Exception), explained(clients.where):
        streams = clients.logs.describe_log_streams(logGroupName=group)["logStreams"]
        for stream in streams[-1:]:
            last = stream["logStreamName"]
            events = clients.logs.get_log_events(logGroupName=group, logStreamName=last, limit=_LOG_LINES)
            found += [str(event["message"]).rstrip() for event in events["events"]]
    return [printable(masked(line)) for line in found[-_LOG_LINES:]]
