"""Which files of a checkout go into the source bundle, and what stops the launch instead."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from launchers.jobs import git_files, secret_names
from launchers.jobs.git_files import Listing, Tracked
from sweepmaker.config.errors import ConfigError

KEY = "job.include_untracked"

# What git has and a trial does not need. Everything else goes along, so that a module of the user's
# own, named by some `_target_`, is there without a list to keep. The less goes in, the fewer edits
# make a new upload.
LEFT_OUT: Mapping[str, str] = {
    "tests": "not run in a trial",
    "benchmarks": "not run in a trial",
    "docs": "for people",
    "README.md": "for people",
    "CONTRIBUTING.md": "for people",
    "launchers": "the job side, for which no container has the packages",
    "launch.py": "needs launchers/",
    "data.py": "needs launchers/",
    "deploy.py": "needs launchers/",
    "compare.py": "looks at finished runs",
    "conf/launch.yaml": "read by launch.py only",
    "conf/job": "read by launch.py only",
    "conf/where": "read by launch.py only; account numbers and networks need not spread",
    "conf/local": "settings of one machine",
    "docker": "makes images",
    "Makefile": "makes environments",
    "apt-packages.txt": "makes environments",
    "requirements-toolkit.in": "makes environments",
    "requirements-toolkit.lock": "makes environments",
    ".ci": "for a CI server",
    ".github": "for a CI server",
    ".gitignore": "for git",
    ".gitattributes": "for git",
}

# A trial must not miss anything of these, and the commit should say all of them: a file that git
# does not have stops the launch.
COMPLETE = ("conf", "src", "launchers")
PROGRAM = "train.py"
_MACHINE_ONLY = "conf/local"
_NAMED = 20  # files in a line to paste; more are named by their folders


@dataclass(frozen=True)
class Source:
    """Where the content of one member of the bundle is read; ``size`` in bytes."""

    path: Path
    executable: bool
    size: int


@dataclass(frozen=True)
class Selection:
    """What goes in.

    Args:
        sources: name in the archive to source.
        untracked: whether files that git does not have are among them.
        notes: what the user may want to know, one line each.
    """

    sources: Mapping[str, Source]
    untracked: bool
    notes: tuple[str, ...]


def left_out(name: str) -> bool:
    """Whether a trial does not need the file, though git has it."""
    return _under(name, LEFT_OUT)


def select(checkout: Path, found: Listing, *, include_untracked: bool) -> Selection:
    """The files of ``found`` that a trial needs, as they are on disk; deleted ones are left out.

    With ``include_untracked``, what git neither has nor ignores under conf/ and src/ goes along, and
    so do Python files elsewhere.

    Raises:
        ConfigError: a secret, an untracked file, a submodule, a link that cannot be followed safely, or
            no train.py.
    """
    tracked = {file.name: file for file in found.tracked if not left_out(file.name)}
    new = [name for name in found.untracked if _matters(name)]
    stopping = [name for name in new if _under(name, COMPLETE)]
    taken = [name for name in new if not left_out(name)] if include_untracked else []
    secret_names.refuse(checkout, {*tracked, *taken, *stopping}, tracked)
    if stopping and not include_untracked:
        raise _incomplete(checkout, stopping)
    chosen = tracked | {name: _as_added(checkout, name) for name in taken}
    sources = _sources(checkout, chosen)
    if PROGRAM not in sources:
        raise ConfigError(
            f"{PROGRAM} is not among the files that git has in {checkout}",
            fix=git_files.command(checkout, "add", names=[PROGRAM]),
        )
    missed = [] if include_untracked else [name for name in new if not left_out(name)]
    return Selection(sources, bool(taken), _notes(missed))


def _under(name: str, places: Iterable[str]) -> bool:
    return any(name == place or name.startswith(place + "/") for place in places)


def _matters(name: str) -> bool:
    """Whether a file that git does not have may be missed in a trial."""
    if _under(name, (_MACHINE_ONLY,)):
        return False
    return _under(name, COMPLETE) or (name.endswith(".py") and not left_out(name))


def _notes(missed: Sequence[str]) -> tuple[str, ...]:
    if not missed:
        return ()
    named = ", ".join(shlex.quote(name) for name in missed[:5])
    more = f" and {len(missed) - 5} more" if len(missed) > 5 else ""
    return (f"not in git, so not in the bundle: {named}{more} ({KEY}=true takes them along)",)


def _incomplete(checkout: Path, names: Sequence[str]) -> ConfigError:
    if len(names) <= _NAMED:
        listed, to_add = ", ".join(shlex.quote(name) for name in names), list(names)
    else:
        to_add = sorted({name.split("/")[0] for name in names})
        listed = f"{len(names)} files below {', '.join(to_add)}, such as {shlex.quote(names[0])}"
    return ConfigError(
        f"a trial would not have these, because git does not have them: {listed}",
        key=KEY,
        fix=f"{git_files.command(checkout, 'add', names=to_add)}   (or ignore them in .gitignore, "
        f"or {KEY}=true to take them along as they are)",
    )


def _as_added(checkout: Path, name: str) -> Tracked:
    """An untracked file as ``git add`` would have it."""
    if name.endswith("/"):
        return Tracked(name.rstrip("/"), submodule=True)
    try:
        mode = (checkout / name).lstat().st_mode
    except OSError:  # gone since git saw it; found missing again below
        mode = 0
    return Tracked(name, executable=bool(mode & stat.S_IXUSR))


def _sources(checkout: Path, chosen: Mapping[str, Tracked]) -> dict[str, Source]:
    root = Path(os.path.realpath(checkout))
    regular: dict[str, Source] = {}
    links = []
    folders: set[PurePosixPath] = set()
    for name, file in chosen.items():
        if file.submodule:
            raise _submodule(checkout, name)
        path = root / name
        try:
            status = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue  # deleted
        except OSError as error:
            raise ConfigError(f"{name} cannot be read: {error.strerror}") from None
        folder = PurePosixPath(name).parent
        if folder not in folders:
            _refuse_linked_folder(root, folder)
            folders.add(folder)
        mode = status.st_mode
        if stat.S_ISLNK(mode):
            links.append(name)
        elif stat.S_ISREG(mode):
            regular[name] = Source(path, file.executable, status.st_size)
        elif not stat.S_ISDIR(mode):  # a folder in a file's place: the file is gone, as git sees it too
            raise ConfigError(
                f"{shlex.quote(name)} is neither a file nor a link, so it cannot be packed",
                fix=f"{git_files.command(checkout, 'rm', '--cached', names=[name])}   (or restore the file)",
            )
    return dict(sorted((regular | {name: _target(root, name, regular) for name in links}).items()))


def _target(root: Path, name: str, regular: Mapping[str, Source]) -> Source:
    """What a link leads to, if it goes along itself; the bundle holds a copy.

    An archive of nothing but files is unpacked the same way everywhere, and no link in it can lead
    out of the folder. A link to what does not travel (an ignored or a secret file, a folder) would
    smuggle it in.
    """
    path = root / name
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # leads nowhere, or in circles
        raise _bad_link(root, name, "leads nowhere") from None
    if not target.is_relative_to(root):
        raise _bad_link(root, name, "leads out of the checkout")
    there = target.relative_to(root).as_posix()
    if there not in regular:
        what = "a folder" if target.is_dir() else "not part of the bundle"
        raise _bad_link(root, name, f"leads to {shlex.quote(there)}, which is {what}")
    return regular[there]


def _bad_link(root: Path, name: str, why: str) -> ConfigError:
    return ConfigError(
        f"{shlex.quote(name)} is a symbolic link and {why}",
        allowed="links to files that go into the bundle themselves",
        fix="put the file itself there, or take the link out of git: "
        f"{git_files.command(root, 'rm', '--cached', names=[name])}",
    )


def _refuse_linked_folder(root: Path, folder: PurePosixPath) -> None:
    expected = root / folder
    if Path(os.path.realpath(expected)) != expected:
        raise ConfigError(
            f"{shlex.quote(str(folder))} is (in) a link now, where git has a folder",
            fix="put the folder itself there: git status shows what changed",
        )


def _submodule(checkout: Path, name: str) -> ConfigError:
    return ConfigError(
        f"{shlex.quote(name)} is a git repository of its own (a submodule); its files are not in this one",
        allowed="files of this checkout",
        fix="add it as a package (pyproject.toml, then make lock), or add its files: "
        f"remove its .git, then {git_files.command(checkout, 'rm', '--cached', names=[name])} "
        f"&& {git_files.command(checkout, 'add', names=[name])}",
    )
