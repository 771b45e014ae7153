"""From ``runs=`` to run folders: folders and globs, whatever is in their names."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError

DEFAULT = ("outputs", "multirun")
_MARKS = {"run.json", ".hydra", "metrics.csv"}
_SWEEP = "multirun.yaml"
_LAUNCH = "launch.json"
_DEEPEST = 200  # folders one in another


class NoRuns(ConfigError):
    """There is no run; one may come."""


@dataclass
class Selected:
    """Run folders in the order in which people count, and what else is worth knowing."""

    folders: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def select(runs: Sequence[str] | None) -> Selected:
    """Every run folder that ``runs`` names, or that is below what it names; each once.

    Args:
        runs: folders and globs (``**`` included), relative to this folder; None: `DEFAULT`.

    Raises:
        ConfigError: one of them matches nothing, or there is no run at all.
    """
    found = Selected()
    seen: set[str] = set()
    globbed: set[Path] = set()
    for root, by_glob in _roots(runs):
        for folder in _below(root, found.notes):
            if (real := os.path.realpath(folder)) not in seen:
                seen.add(real)
                found.folders.append(folder)
                globbed |= {folder} if by_glob else set()
    # outputs/** matches the logs inside of a run too, which are no runs of their own
    found.folders = [
        folder
        for folder in found.folders
        if folder not in globbed or not {*map(str, Path(os.path.realpath(folder)).parents)} & seen
    ]
    if not found.folders:
        where = " and ".join(runs if runs is not None else DEFAULT)
        raise NoRuns(
            f"there is no run in {where}" + "".join(f"\n  {note}" for note in found.notes),
            key="runs",
            allowed="folders of runs or above them, such as outputs/<date>/<time> or multirun",
            fix="python train.py makes one",
        )
    return found


def _roots(runs: Sequence[str] | None) -> Iterator[tuple[Path, bool]]:
    """Folders, and whether a glob led to them."""
    if runs is None:
        yield from ((Path(name), False) for name in DEFAULT if Path(name).is_dir())
        return
    for given in runs:
        try:
            text = str(Path(given).expanduser())
            # what is there goes first: names may hold [ and *; Path.glob takes no absolute pattern
            there = Path(text).exists()
            found = [text] if there else glob.glob(text, recursive=True)  # noqa: PTH207
            matches = sorted(found, key=_natural)
            folders = [Path(match) for match in matches if Path(match).is_dir()]
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, not ours, ~nobody
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ConfigError(f"{given[:80]!r} cannot be looked for: {why}", key="runs") from error
        if not folders:
            is_file = bool(matches)
            raise (ConfigError if is_file else NoRuns)(
                f"{given} is a file" if is_file else f"nothing matches {given}",
                key="runs",
                allowed="folders and globs; what has , or = in it is quoted twice: 'runs=\"a, b=c\"'",
                fix=argv.word("runs", Path(matches[0]).parent)
                if is_file
                else "leave it out: everything below outputs and multirun",
            )
        yield from ((folder, not there) for folder in folders)


def _below(root: Path, notes: list[str]) -> Iterator[Path]:
    """Run folders at or below ``root``; none within another one, none behind a link."""
    try:
        with os.scandir(root) as entries:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError as error:
        notes.append(f"{root} cannot be read: {error.strerror}")
        return
    if _MARKS & names.keys():
        yield root
        return
    if len(root.parts) > _DEEPEST:
        notes.append(f"{str(root)[:80]}...: folders deeper than {_DEEPEST} are not looked at")
        return
    any_run = False
    for name in sorted((name for name, folder in names.items() if folder), key=_natural):
        if name.startswith("."):
            continue
        inside = list(_below(root / name, notes))
        if not inside and _SWEEP in names and name.isdigit():
            inside = [root / name]  # a run of this sweep that left nothing
        any_run = any_run or bool(inside)
        yield from inside
    if _LAUNCH in names and not any_run:
        notes.append(_not_collected(root))


def _not_collected(folder: Path) -> str:
    try:
        name = json.loads((folder / _LAUNCH).read_bytes())["name"]
        again = f"python launch.py action=collect {argv.word('job.name', name)}"
    except (OSError, ValueError, KeyError, TypeError):
        return f"{folder} holds a launch and no run"
    return f"{folder}: nothing is collected of this job yet: {again}"


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts 2 before 10."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part
    ]
