"""How far an upload is: a bar on a terminal, now and then a plain line elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

_EVERY_S = 10.0  # between two plain lines


def readable(size: float) -> str:
    """A number of bytes as people say it: ``1.2 MB`` (1 kB is 1,000 bytes)."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.95 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


class UploadProgress:
    """Counts files and bytes from any thread; a context manager around the upload.

    Args:
        what: for people, "images of data/dogs".
        files: how many will be sent.
        size: of all of them, bytes.
        skipped: how many were there already.
    """

    def __init__(self, what: str, files: int, size: int, *, skipped: int = 0) -> None:
        self._what, self._files, self._size, self._skipped = what, files, size, skipped
        self._lock = threading.Lock()
        self._done = 0
        self._sent = 0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> UploadProgress:
        self._begun = self._told = time.monotonic()
        if sys.stderr.isatty():
            self._open_bar()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        seconds = time.monotonic() - self._begun
        there = f", {self._skipped} were there already" if self._skipped else ""
        ended = (
            "uploaded" if kind is None else f"upload ended early ({self._done} of {self._files} files done):"
        )
        self._say(
            f"{ended} {self._what}: {self._files} file(s), {readable(self._size)}, {seconds:.1f} s{there}"
        )

    def sent(self, count: int) -> None:
        """``count`` more bytes are over; negative where a part is sent again."""
        with self._lock:
            self._sent += count
            self._show()

    def finished(self) -> None:
        """One more file is over."""
        with self._lock:
            self._done += 1
            self._show()

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._sent, files=self._done)
        elif time.monotonic() - self._told > _EVERY_S:
            self._told = time.monotonic()
            done = f"{self._done} of {self._files} file(s), {readable(self._sent)} of {readable(self._size)}"
            self._say(f"uploading {self._what}: {done}")

    def _open_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("uploading {task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[files]}/{task.fields[of]} files"),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(self._what, total=self._size, files=0, of=self._files)
        self._bar.start()

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
