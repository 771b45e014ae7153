"""One line of JSON on stderr for each event; bodies of requests and answers are never in it."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_LOGGER = logging.getLogger("sweepmaker.serving")


def say(event: str, level: str = "info", **facts: Any) -> None:
    """Log ``event`` with ``facts``, which must fit into JSON."""
    _LOGGER.log(getattr(logging, level.upper()), event, extra={"facts": facts})


def set_up() -> None:
    """All loggers of this process write such lines, uvicorn's warnings too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    _LOGGER.handlers, _LOGGER.propagate = [handler], False
    _LOGGER.setLevel(logging.INFO)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        facts = getattr(record, "facts", None)
        line |= facts if facts is not None else {"logger": record.name}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
