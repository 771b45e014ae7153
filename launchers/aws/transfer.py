"""Many objects to S3 at once, with boto3's own transfer manager: parts, retries, clearing up."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from launchers.aws.clients import UPLOAD_THREADS
from launchers.aws.upload_progress import UploadProgress
from sweepmaker.run import interrupt

_MEBIBYTE = 1 << 20
IN_PARTS_FROM = 32 * _MEBIBYTE
"""Bytes; smaller objects go with one call."""
_PART = 16 * _MEBIBYTE
_WAITING = 8 * UPLOAD_THREADS  # files opened and objects queued ahead of the threads


def transfer(
    client: Any,
    bucket: str,
    objects: Iterable[tuple[Any, str, dict[str, Any]]],
    progress: UploadProgress,
) -> None:
    """Put every object; on an error or an interruption the others end early.

    Args:
        client: boto3's for S3.
        objects: (a file's name or a file in memory, key, further arguments) of each.
        progress: told from several threads.

    Raises:
        The first error that an object met; parts of unfinished objects are then removed.
    """
    # boto3's s3.upload_file would start a manager for each file
    from s3transfer.manager import TransferConfig, TransferManager

    config = TransferConfig(
        multipart_threshold=IN_PARTS_FROM,
        multipart_chunksize=_PART,
        max_request_concurrency=UPLOAD_THREADS,
        max_request_queue_size=_WAITING,
        max_submission_queue_size=_WAITING,
    )
    flight = _Flight(progress)
    # leaving it with an exception cancels what is under way and waits until that has cleared up
    with TransferManager(client, config) as manager:
        try:
            for body, key, arguments in objects:
                flight.begin()
                manager.upload(body, bucket, key, arguments, [flight.subscriber()])
            flight.wait()
        except interrupt.Interrupted:
            interrupt.finish()  # or it would be raised again in the middle of the clearing up
            raise


class _Flight:
    """The transfers under way: how many, and the first one that failed."""

    def __init__(self, progress: UploadProgress) -> None:
        self._progress = progress
        self._changed = threading.Condition()
        self._open = 0
        self._error: BaseException | None = None

    def begin(self) -> None:
        with self._changed:
            self._raise()
            self._open += 1

    def wait(self) -> None:
        """Until every transfer is over; raises what the first failed one met."""
        with self._changed:
            while self._open and self._error is None:
                self._changed.wait()
            self._raise()

    def subscriber(self) -> Any:
        from s3transfer.subscribers import BaseSubscriber

        flight = self

        class Watch(BaseSubscriber):  # type: ignore[misc]  # it has no types
            def on_progress(self, future: Any, bytes_transferred: int, **event: Any) -> None:
                flight._progress.sent(bytes_transferred)

            def on_done(self, future: Any, **event: Any) -> None:
                flight._end(future)

        return Watch()

    def _end(self, future: Any) -> None:
        error: BaseException | None = None
        try:
            future.result()
            self._progress.finished()
        except BaseException as raised:  # the thread that waits raises it
            error = raised
        with self._changed:
            self._open -= 1
            self._error = self._error or error
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
