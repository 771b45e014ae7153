"""The parts of a run folder that may be absent, half as old as the run, or made of anything at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sweepmaker.compare.run import Run
from sweepmaker.run import untrusted
from sweepmaker.run.disk import reason

T = TypeVar("T")


def attempt(run: Run, what: str, read: Callable[[], T], otherwise: T) -> T:
    """What ``read`` returns; where it cannot, ``otherwise``, and the run says what is wrong with ``what``.

    Every exception is taken: whatever stands in one run folder, the other runs are compared.
    """
    try:
        return read()
    except Exception as error:
        say(run, f"{what}: {said(error)}")
        return otherwise


def said(error: Exception) -> str:
    """What went wrong, with the error's kind where its words alone tell nothing."""
    text = reason(error)
    plain = isinstance(error, OSError | ValueError) and text != type(error).__name__
    return text if plain else f"{type(error).__name__}: {text}"


def say(run: Run, problem: str) -> None:
    """Add to what is wrong with ``run``, once."""
    known = run.problem.split("; ") if run.problem else []
    if problem not in known:
        run.problem = "; ".join([*known, problem])


def document(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a run; {} where there is none.

    Raises:
        ValueError: it is no JSON object.
        OSError: it cannot be read, is too large, or is no file of the folder's own.
    """
    try:
        found = json.loads(untrusted.read_inside(folder, name))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def rules(folder: Path) -> dict[str, Mapping[str, Any]] | None:
    """What the debugger's rules have written, by their names; None where none ran.

    Raises:
        ValueError, OSError: as `document`; or it has another form.
    """
    found = document(folder, "debugger/findings.json")
    if not found:
        return None
    entries = found.get("rules")
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError("it has no rules")
    return entries
