"""A trial's output while it is written: line by line, and into CloudWatch's streams."""

from __future__ import annotations

import time
from pathlib import Path

from launchers.embedded.parts import LogStreams

GROUP = "/aws/sagemaker/TrainingJobs"
_CHUNK = 1 << 20  # bytes at a time
_LONGEST = 1 << 16  # characters of an unfinished line that are kept


class LogReader:
    """New lines of ``path``.

    Args:
        path: the file that the process writes.
        position: bytes of it that an earlier reader has taken in.
        streams: where the lines go as well.
        stream: name of the stream.
    """

    def __init__(self, path: Path, position: int, streams: LogStreams, stream: str) -> None:
        self._path = path
        self._streams = streams
        self._stream = stream
        self._position = position
        self._rest = b""

    @property
    def position(self) -> int:
        """Bytes up to the end of the last line that was read."""
        return self._position - len(self._rest)

    def read(self, *, last: bool) -> list[str]:
        """The lines that came since; with ``last`` also one that nobody will finish."""
        lines: list[str] = []
        with self._path.open("rb") as file:
            file.seek(self._position)
            while chunk := file.read(_CHUNK):
                self._position += len(chunk)
                *whole, self._rest = (self._rest + chunk).split(b"\n")
                lines += [_text(line) for line in whole]
                if len(self._rest) > _LONGEST:
                    lines.append(_text(self._rest))
                    self._rest = b""
        if last and self._rest:
            lines.append(_text(self._rest))
            self._rest = b""
        if lines:
            now = int(time.time() * 1000)
            self._streams.put(GROUP, self._stream, [(now, line) for line in lines])
        return lines


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
