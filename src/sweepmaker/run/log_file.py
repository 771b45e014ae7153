"""The run's log file, as Hydra's job_logging makes it."""

from __future__ import annotations

import logging
import os
import sys

from sweepmaker.run import disk
from sweepmaker.run.environment import is_main_process


class LogFile(logging.FileHandler):
    """Written by the run's main process alone; on a full disk it says so once and the run goes on.

    The other processes of a run have the same folder, and Hydra would give each a file of its own.
    Python's own handler answers every line that it cannot write with a traceback, which buries the
    message that matters.

    Args:
        filename: the file; other arguments as for ``logging.FileHandler``.
    """

    def __init__(self, filename: str | os.PathLike[str]) -> None:
        self._silent = not is_main_process()
        super().__init__(filename, encoding="utf-8", delay=self._silent)

    def emit(self, record: logging.LogRecord) -> None:
        if not self._silent:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)  # a mistake in the call, which the traceback shows
            return
        self._silent = True
        print(f"{self.baseFilename} ends here: {disk.reason(error)}", file=sys.stderr, flush=True)
