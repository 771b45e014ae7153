"""Why a training job failed, in the words of its process."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.run import untrusted

_MOST = 4096  # bytes; FailureReason has 1024 characters


def failure_of(ml: Path, code: int | None) -> str:
    """FailureReason of a process that ended with ``code`` (negative: by that signal)."""
    text = (untrusted.read(ml / "output" / "failure", _MOST) or b"").decode(errors="replace").strip()
    number = code if code is None or code >= 0 else 128 - code
    if not text:
        text = "the process was killed" if number == 137 else "no failure was written"
    return f"AlgorithmError: {text[:1024]}, exit code: {number}"[:1024]
