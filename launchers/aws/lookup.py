"""What the service says of something, where it has something of that name."""

from __future__ import annotations

from typing import Any

from launchers.aws.clients import Clients
from launchers.aws.failures import explained, is_absent


def described(clients: Clients, operation: str, **named: str) -> dict[str, Any] | None:
    """The answer of a describe call; None where there is nothing of that name.

    Args:
        clients: of the account.
        operation: boto3's name of the call, such as ``describe_endpoint``.
        named: its argument.

    Raises:
        UserError: AWS refused or could not be reached.
    """
    with explained(clients.where):
        try:
            found: dict[str, Any] = getattr(clients.sagemaker, operation)(**named)
        except Exception as error:
            if is_absent(error):
                return None
            raise
    return found
