"""``output/failure`` and ``output/success``, as AWS's toolkit leaves them after a script."""

from __future__ import annotations

import builtins
import os
import shlex
from pathlib import Path

_TAIL = 256 * 1024  # bytes of a log that are looked at
_LINES = 200
# beside Python's own, what the toolkit takes for the start of an error
_ALSO = (
    "Exception",
    "Invalid requirement",
    "ResourceExhaustedError",
    "OutOfRangeError",
    "InvalidArgumentError",
)


def write(path: Path, text: str) -> None:
    """Tell why, unless the script has told it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="replace")


def of_script(arguments: tuple[str, ...], code: int, log: int, start: int) -> str:
    """The text of an ``ExecuteUserScriptError``.

    Args:
        arguments: the command.
        code: its exit code; negative: ended by that signal.
        log: of its output; readable.
        start: where this attempt's output begins.
    """
    size = os.fstat(log).st_size
    at = max(start, size - _TAIL)
    told = _errors(os.pread(log, size - at, at).decode("utf-8", errors="replace"))
    command = " ".join(shlex.quote(word) if " " in word else word for word in arguments)
    return f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{told}"\nCommand "{command}"'


def _errors(text: str) -> str:
    """From the first line on that names an exception of Python, each line once."""
    names = [*_ALSO, *(name for name, one in vars(builtins).items() if _is_error(one))]
    found: dict[str, None] = {}
    for line in text.splitlines():
        if found or any(name in line for name in names):
            found[line.strip(" :\n")] = None
    return "\n".join(list(found)[-_LINES:])


def _is_error(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, Exception) and one.__name__.endswith("Error")
