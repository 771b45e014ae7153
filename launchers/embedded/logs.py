"""A process's output while it is written: line by line, and into CloudWatch's streams."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from launchers.embedded.parts import LogStreams
from launchers.embedded.root import Root
from launchers.embedded.state import TRAINING, State

GROUP = "/aws/sagemaker/TrainingJobs"
_CHUNK = 1 << 18  # bytes at a time
_MOST = 1 << 22  # bytes that are read before something else is looked at
_MOST_LINES = 50_000  # likewise
_LONGEST = 1 << 16  # characters of an unfinished line that are kept
_AGAIN = 1 << 16  # bytes of an earlier job's stream that are shown again
_AGAIN_JOBS = 200  # the newest; of older ones only the file is left


class LogReader:
    """New lines of ``path``.

    Args:
        path: the file that the process writes.
        position: bytes of it that an earlier reader has taken in.
        streams: where the lines go as well.
        stream: name of the stream.
        group: of the stream.
    """

    def __init__(
        self, path: Path, position: int, streams: LogStreams, stream: str, group: str = GROUP
    ) -> None:
        self._path = path
        self._streams = streams
        self._stream = stream
        self._group = group
        self._position = position
        self._rest = b""
        self.behind = False
        """Whether there was more to read than `read` took: who prints fast must not keep others waiting."""

    @property
    def position(self) -> int:
        """Bytes up to the end of the last line that was read."""
        return self._position - len(self._rest)

    def read(self, *, last: bool) -> list[str]:
        """The lines that came since, as many as are read in a moment (then `behind` says so).

        With ``last`` also one that nobody will finish.
        """
        lines: list[str] = []
        with self._path.open("rb") as file:
            file.seek(self._position)
            begin = self._position
            if os.fstat(file.fileno()).st_size < begin:  # another reader has cut it
                begin, self._position, self._rest = 0, 0, b""
                file.seek(0)
            while self._position - begin < _MOST and len(lines) < _MOST_LINES:
                if not (chunk := file.read(_CHUNK)):
                    break
                self._position += len(chunk)
                *whole, self._rest = (self._rest + chunk).split(b"\n")
                lines += [_text(line) for line in whole]
                if len(self._rest) > _LONGEST:
                    lines.append(_text(self._rest))
                    self._rest = b""
            self.behind = self._position < os.fstat(file.fileno()).st_size
        if last and self._rest and not self.behind:
            lines.append(_text(self._rest))
            self._rest = b""
        if lines:
            now = int(time.time() * 1000)
            self._streams.put(self._group, self._stream, [(now, line) for line in lines])
        return lines

    def cut(self, largest: int) -> None:
        """Once the file has more than ``largest`` bytes, keep them beside it (``.1``) and let it begin anew.

        Who writes has to append. What comes between the last look and the cut is lost, a moment's.
        """
        if self.behind or size_of(self._path) <= largest:
            return
        part = self._path.with_name(f"{self._path.name}.part")
        with self._path.open("r+b") as file:
            try:
                with part.open("wb") as copy:
                    shutil.copyfileobj(file, copy)
                    self.read(last=False)
                    shutil.copyfileobj(file, copy)
                part.replace(self._path.with_name(f"{self._path.name}.1"))
            except OSError as error:  # no room: then it is all the more to be cut
                part.unlink(missing_ok=True)
                print(f"{self._path} could not be kept: {error}", file=sys.stderr, flush=True)
            file.truncate(0)
        self._position = 0


def show_again(state: State, root: Root, streams: LogStreams) -> None:
    """Put the ends of the newest jobs' logs back where clients read them, which is in memory only.

    When each line came is not known any more: they all carry the time of the job's last change.
    """
    for job in state.jobs(TRAINING)[-_AGAIN_JOBS:]:
        path = root.job(job.name) / "log"
        parts = job.private.get("streams", [])
        if not parts:  # it never came so far as to print anything
            continue
        ends = [*(begin for _, begin in parts[1:]), size_of(path)]
        moment = int(job.document["LastModifiedTime"] * 1000)
        for (stream, begin), end in zip(parts, ends, strict=True):
            if lines := _lines(path, max(begin, end - _AGAIN), end):
                streams.put(GROUP, stream, [(moment, line) for line in lines])


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _lines(path: Path, begin: int, end: int) -> list[str]:
    if end <= begin:
        return []
    with path.open("rb") as file:
        file.seek(begin)
        return [_text(line) for line in file.read(end - begin).rstrip(b"\n").split(b"\n")]


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r")
