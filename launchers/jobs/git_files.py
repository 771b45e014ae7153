"""What git says of a checkout: its commit, the files it has, the files it would add."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sweepmaker.config.errors import ConfigError

_TIMEOUT_S = 120
_SUBMODULE = "160000"
_EXECUTABLE = "100755"


@dataclass(frozen=True)
class Tracked:
    """A file as git's index has it.

    Args:
        name: relative to the checkout, with ``/`` between its parts.
        executable: git's executable bit.
        submodule: not a file but another repository at a commit.
    """

    name: str
    executable: bool = False
    submodule: bool = False


@dataclass(frozen=True)
class Listing:
    """The files of a checkout.

    Args:
        commit: of HEAD, 40 (or 64) hex digits.
        dirty: some tracked file of the checkout differs from that commit.
        tracked: every tracked file below the checkout, sorted; one that was deleted is still here.
        untracked: names that git neither has nor ignores, sorted; one with a ``/`` at its end is a
            repository of its own.
    """

    commit: str
    dirty: bool
    tracked: tuple[Tracked, ...]
    untracked: tuple[str, ...]


def listing(checkout: Path) -> Listing:
    """Ask git for the files of ``checkout``: the folder of train.py, maybe one of a larger repository.

    Raises:
        ConfigError: git is not installed, this is no checkout or one without files or commits, git
            does not trust its owner, or a merge is unfinished.
    """
    if _text(checkout, "rev-parse", "--is-inside-work-tree") != "true":
        raise ConfigError(
            f"{checkout} is a git repository without files (bare, or the inside of a .git folder)",
            fix=f"git clone {shlex.quote(str(checkout))} FOLDER, and launch from there",
        )
    commit = _text(checkout, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
    if not commit:
        raise ConfigError(
            f"the git repository of {checkout} has no commit yet; what a job runs must be nameable",
            fix=f"{command(checkout, 'add', '-A')} && {command(checkout, 'commit', '-m', 'first version')}",
        )
    changed = _run(checkout, "status", "--porcelain", "-z", "--untracked-files=no", "--", ".")
    others = _run(checkout, "ls-files", "-z", "--others", "--exclude-standard")
    return Listing(commit, bool(changed), _tracked(checkout), tuple(sorted(_names(others))))


def command(checkout: Path, *arguments: str, names: Iterable[str] = ()) -> str:
    """A git command to paste into a shell; ``names`` are files relative to ``checkout``."""
    here = [] if checkout.resolve() == Path.cwd() else ["-C", str(checkout)]
    listed = list(names)
    return shlex.join(["git", *here, *arguments, *(["--", *listed] if listed else [])])


def _tracked(checkout: Path) -> tuple[Tracked, ...]:
    found = []
    for entry in _names(_run(checkout, "ls-files", "-z", "--stage")):
        about, _, name = entry.partition("\t")
        mode, _, stage = about.split(" ")
        if stage != "0":
            raise ConfigError(
                f"{name} is in the middle of a merge, with more than one version",
                fix=f"finish the merge; {command(checkout, 'status')} shows what is left",
            )
        found.append(Tracked(name, mode == _EXECUTABLE, mode == _SUBMODULE))
    if not found:
        raise ConfigError(
            f"git has no file of {checkout}; the launch sends the files that git knows",
            fix=command(checkout, "add", "-A"),
        )
    return tuple(sorted(found, key=lambda file: file.name))


def _names(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _text(checkout: Path, *arguments: str) -> str:
    return os.fsdecode(_run(checkout, *arguments)).strip()


def _run(checkout: Path, *arguments: str) -> bytes:
    # Messages in English, because some are recognised; no lock taken from a git that runs beside us.
    environment = os.environ | {"LC_ALL": "C", "LANGUAGE": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(checkout), *arguments],
            capture_output=True,
            env=environment,
            timeout=_TIMEOUT_S,
        )
    except FileNotFoundError:
        raise ConfigError(
            "git is not installed (or not on PATH); the launch sends the files that git knows",
            fix="install git, for example: apt-get install git",
        ) from None
    except subprocess.TimeoutExpired:
        raise ConfigError(
            f"git {arguments[0]} did not answer within {_TIMEOUT_S} s in {checkout}",
            fix=f"try it by hand: {command(checkout, *arguments)}",
        ) from None
    # `rev-parse --quiet --verify` says by its exit code alone that there is no such commit.
    if done.returncode and done.stderr.strip():
        _refused(checkout, arguments, os.fsdecode(done.stderr).strip())
    return done.stdout


def _refused(checkout: Path, arguments: tuple[str, ...], said: str) -> NoReturn:
    if "not a git repository" in said:
        raise ConfigError(
            f"{checkout} is not a git checkout; the launch sends the files that git knows, "
            "so that a job can be traced to a commit",
            fix=f"{command(checkout, 'init')} && {command(checkout, 'add', '-A')} && "
            f"{command(checkout, 'commit', '-m', 'first version')}",
        )
    if "dubious ownership" in said:
        where = re.search(r"repository at '(.+)'", said)
        folder = where.group(1) if where else str(checkout.resolve())
        raise ConfigError(
            f"git does not read {folder}, because it belongs to another user",
            fix=shlex.join(["git", "config", "--global", "--add", "safe.directory", folder]),
        )
    if "must be run in a work tree" in said:  # bare repositories, by some versions of git
        raise ConfigError(f"{checkout} is a git repository without files", fix="launch from a clone of it")
    raise ConfigError(
        f"git {arguments[0]} failed in {checkout}: {said.splitlines()[-1]}",
        fix=f"try it by hand: {command(checkout, *arguments)}",
    )
