"""CloudWatch Logs for the server itself."""

from __future__ import annotations

from typing import Any

from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.services.moto_apps import LOCK


class Logs:
    """Puts lines where clients of CloudWatch Logs find them. For several threads; kept in memory only."""

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

    def _backend(self) -> Any:
        from moto.logs.models import logs_backends

        return logs_backends[ACCOUNT][REGION]
