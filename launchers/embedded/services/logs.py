"""CloudWatch Logs for the server itself."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.services.moto_apps import LOCK

_KEPT = 10_000  # lines of a stream that are kept whole
_TOTAL = 500_000  # of all streams together
_MOST = 1_000_000  # lines of a stream, whole or not
GONE = "(a line that is only in the job's log file any more)"


class Logs:
    """Puts lines where clients of CloudWatch Logs find them. For several threads; kept in memory only.

    Of a long stream the newest lines are kept. In place of each line before there is one that says so: the
    tokens of clients that follow a stream are numbers of lines, and are to stay true.
    """

    def __init__(self) -> None:
        self._first: WeakKeyDictionary[Any, int] = WeakKeyDictionary()  # of a stream: where whole lines begin
        self._total = 0  # whole lines at most; streams that clients deleted are still in it

    def put(self, group: str, stream: str, lines: list[tuple[int, str]]) -> None:
        """
        Args:
            group: made when missing.
            stream: made when missing.
            lines: (milliseconds since 1970, text).
        """
        with LOCK:
            backend = self._backend()
            backend.ensure_log_group(group)
            backend.ensure_log_stream(group, stream)
            events = [{"timestamp": when, "message": text} for when, text in lines]
            # Not the backend's own `put_log_events`: it refuses lines that are 14 days old.
            backend.groups[group].put_log_events(stream, events)
            self._total += len(events)
            self._bound(backend.groups[group].streams[stream])

    def _bound(self, stream: Any) -> None:
        self._first.setdefault(stream, 0)
        if self._whole(stream) > 2 * _KEPT:
            self._drop(stream, _KEPT)
        if len(stream.events) > _MOST:
            del stream.events[: _MOST // 2]
            self._first[stream] = max(0, self._first[stream] - _MOST // 2)
        if self._total <= _TOTAL:
            return
        self._total = sum(map(self._whole, self._first))
        for other in list(self._first):  # the oldest first
            if self._total > _TOTAL and other is not stream:
                self._total -= self._whole(other)
                self._drop(other, 0)

    def _whole(self, stream: Any) -> int:
        return max(0, len(stream.events) - self._first[stream])

    def _drop(self, stream: Any, kept: int) -> None:
        from moto.logs.models import LogEvent

        begin, end = self._first[stream], len(stream.events) - kept
        if begin < end:
            before = stream.events[begin]
            gone = LogEvent(before.ingestion_time, {"timestamp": before.timestamp, "message": GONE})
            stream.events[begin:end] = [gone] * (end - begin)
            self._first[stream] = end

    def _backend(self) -> Any:
        from moto.logs.models import logs_backends

        return logs_backends[ACCOUNT][REGION]
