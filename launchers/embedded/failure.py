"""Why a training job failed, in the words of its process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_MOST = 4096  # bytes; FailureReason has 1024 characters


def failure_of(ml: Path, code: int | None) -> str:
    """FailureReason of a process that ended with ``code`` (negative: by that signal)."""
    text = _told(ml / "output" / "failure")
    number = code if code is None or code >= 0 else 128 - code
    if not text:
        text = "the process was killed" if number == 137 else "no failure was written"
    return f"AlgorithmError: {text[:1024]}, exit code: {number}"[:1024]


def _told(path: Path) -> str:
    """The beginning of what the script wrote there; of anything but a regular file nothing."""
    try:
        # a link would lead anywhere (/dev/zero), and opening a FIFO would wait for its other end
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, _MOST).decode(errors="replace").strip()
    finally:
        os.close(descriptor)
