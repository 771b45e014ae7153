"""``/opt/ml/output/failure``: why a trial failed, in the 1024 characters that SageMaker keeps of it."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sweepmaker.config.errors import EXIT_CONFIG, UserError
from sweepmaker.container.redaction import without_secrets
from sweepmaker.run import atomic

LIMIT = 1024  # characters of FailureReason

_MESSAGE = 768  # of them for the message, where frames follow
_FRAMES = 8
_LACKING = (
    "the image lacks a package that the run needs: job.packages=index installs it, an own image brings it"
)


class Tail:
    """A stream that also remembers the end of what went through it.

    Args:
        stream: where the text goes.
        characters: how many are remembered.
    """

    def __init__(self, stream: TextIO, characters: int = 16384) -> None:
        self._stream = stream
        self._characters = characters
        self.text = ""

    def write(self, text: str) -> int:
        """Pass ``text`` on; how many characters it had."""
        self.text = (self.text + text)[-self._characters :]
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Pass ``lines`` on."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def of_error(error: BaseException) -> str:
    """An exception: its type and message, then the frames, the last one first."""
    frames = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    return _text(type(error).__name__, str(error), [] if isinstance(error, UserError) else frames[::-1])


def of_record(record: Mapping[str, Any]) -> str | None:
    """What ``run.json`` says about its failure, or None where it knows of none."""
    known = record.get("failure")
    if not isinstance(known, dict):
        return None
    kind = str(known.get("type"))
    mendable = kind in ("UserError", "ConfigError", "DataError")
    frames = [] if mendable else [str(frame) for frame in known.get("frames") or []]
    return _text(kind, str(known.get("message")), frames)


def of_output(text: str, exit_code: int) -> str:
    """The error at the end of what a run wrote to stderr."""
    if (at := f"\n{text}".rfind("\nerror: ")) >= 0:
        kind = "ConfigError" if exit_code == EXIT_CONFIG else "Error"
        return _text(kind, text[at:].removeprefix("error: "), [])
    _, found, trace = text.rpartition("Traceback (most recent call last):\n")
    if found:
        frames = re.findall(r'^  File "(.+)", line (\d+), in (.+)$', trace, re.MULTILINE)
        told = re.search(r"^([A-Za-z_][\w.]*)(?:: (.*))?\Z", trace.rstrip(), re.MULTILINE | re.DOTALL)
        if told is not None:
            shown = [f"{file}:{line} {name}" for file, line, name in reversed(frames)]
            return _text(told[1].rpartition(".")[2], told[2] or "", shown)
    last = [line for line in text.splitlines() if line.strip()][-12:]
    return _text(f"exit code {exit_code}", "\n".join(last) or "no message", [])


def write(path: Path, text: str) -> None:
    """Write ``text``, cut to what counts and without secrets; a file that is there stays.

    Raises:
        OSError: the folder cannot be written to.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, clip(without_secrets(text)))


def clip(text: str) -> str:
    """The first `LIMIT` characters, such that any reader of UTF-8 and any table takes them."""
    plain = text.encode("utf-8", errors="replace").decode("utf-8")
    plain = re.sub(r"[^\S\n]|[\x00-\x09\x0b-\x1f\x7f]", " ", plain).strip()
    return plain if len(plain) <= LIMIT else plain[: LIMIT - 1] + "…"


def _text(kind: str, message: str, frames: Sequence[str]) -> str:
    # before the cut: half a key is still a key
    head = f"{kind}: {without_secrets(message.strip())}".removesuffix(": ")
    if frames and len(head) > _MESSAGE:
        head = head[: _MESSAGE - 1] + "…"
    lines = [head]
    if kind == "ModuleNotFoundError":
        lines.append(_LACKING)
    lines += [f"at {_short(frame)}" for frame in frames[:_FRAMES]]
    return "\n".join(lines)


def _short(frame: str) -> str:
    """A frame with its path from the package on, since there is little room."""
    return re.sub(r"^.*/(?:site-packages|dist-packages|src|lib/python3\.\d+)/", "", frame)
