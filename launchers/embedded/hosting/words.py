"""What the service says about endpoints that fail and requests that do."""

from __future__ import annotations

from launchers.embedded.root import ACCOUNT, REGION

GROUP = "/aws/sagemaker/Endpoints"


def group_of(endpoint: str) -> str:
    """The log group of an endpoint."""
    return f"{GROUP}/{endpoint}"


def no_data(address: str) -> str:
    """FailureReason: the model is not in S3 any more, or is no archive."""
    return (
        f'Failed to download model data for container "container_1" from URL: "{address}". Please ensure '
        "that there is an object located at the URL and that the role passed to CreateModel has permissions "
        "to download the object."
    )


def no_ping(variant: str) -> str:
    """FailureReason: the container ended, or did not answer /ping in time."""
    return (
        f"The primary container for production variant {variant} did not pass the ping health check. "
        "Please check CloudWatch logs for this endpoint."
    )


NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)
INTERNAL = "Request to service failed. If failure persists after retry, contact customer support."


def model_error(endpoint: str, status: int, text: str) -> str:
    """Message of a ModelError."""
    side = "client" if 400 <= status < 500 else "server"
    console = f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}"
    return (
        f'Received {side} error ({status}) from primary with message "{text}". See '
        f"{console}#logEventViewer:group={group_of(endpoint)} in account {ACCOUNT} for more information."
    )


TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency "
    "metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


def not_found(endpoint: str) -> str:
    """Message of the ValidationError for an endpoint that does not answer."""
    return f"Endpoint {endpoint} of account {ACCOUNT} not found."
