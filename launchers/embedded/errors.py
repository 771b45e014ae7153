"""What a request is refused with, in the service's own words."""

from __future__ import annotations


class ServiceError(Exception):
    """An error that the client gets to see.

    Args:
        code: as botocore names it: ``ValidationException``, ``ResourceInUse``, ``ResourceNotFound``.
        message: one sentence.
        status: HTTP status; below 500, or clients would try again.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
