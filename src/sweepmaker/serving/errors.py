"""What is wrong with a request, as HTTP says it."""

from __future__ import annotations


class RequestError(Exception):
    """A request that cannot be answered as it is.

    Args:
        status: of HTTP, 400 to 499 (503 where the server has too much to do).
        message: one or two sentences: what is wrong and what is allowed; nothing of the payload.
        retry_after_s: seconds after which it is worth trying again; None: it never is.
    """

    def __init__(self, status: int, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
