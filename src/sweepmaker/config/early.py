"""Imported before a verb's other imports: Ctrl-C while they go on ends the process without a traceback.

Nothing has begun by then. `sweepmaker.run.interrupt` takes over when the verb starts.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType


def _end(signum: int, _: FrameType | None) -> None:
    os._exit(128 + signum)


if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, _end)
