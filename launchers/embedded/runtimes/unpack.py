"""The job's code, put where the image runs it: ``/opt/ml/code``."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from launchers.embedded.runtimes.variables import SUBMITTED, decoded

_OPT_ML = PurePosixPath("/opt/ml")
_INSTALLS = ("requirements.txt", "setup.py")
_KEPT = ".not-installed"
_KEPT_BYTES = 16 << 20  # of a larger archive there is no second copy on the disk


class CodeError(Exception):
    """The job's code cannot be used; the message is for the job's FailureReason."""


def place(ml: Path, archive: Path | None, hyperparameters: Mapping[str, str], kept: Path) -> None:
    """Fill ``code`` from what ``sagemaker_submit_directory`` names, unless something is in it.

    Args:
        ml: the folder that the trial finds at ``/opt/ml``.
        archive: the file behind an S3 address; None: it is a path as the container sees it.
        hyperparameters: as sent.
        kept: the folder in which an unpacked archive is kept, for the next trials to copy.

    Raises:
        CodeError: there is nothing at that path, or the archive is damaged or reaches out of its folder.
    """
    code = ml / "code"
    code.mkdir(parents=True, exist_ok=True)
    if any(code.iterdir()):
        return
    submitted = decoded(hyperparameters).get(SUBMITTED)
    if archive is None:
        if submitted is None:
            return
        archive = local(ml, str(submitted))
    if archive.is_dir():
        if archive.resolve() != code.resolve():
            shutil.copytree(archive, code, symlinks=True, dirs_exist_ok=True)
    elif not archive.is_file():
        raise CodeError(f"{submitted} ({SUBMITTED}) is neither a file nor a folder in this container")
    elif archive.name.endswith(".py"):
        shutil.copy2(archive, code)
    else:
        _unpack(archive, code, kept)


def local(ml: Path, path: str) -> Path:
    """Where a path of the container lies for a process that has no ``/opt/ml`` of its own."""
    given = PurePosixPath(path)
    return ml / given.relative_to(_OPT_ML) if given.is_relative_to(_OPT_ML) else Path(given)


def keep_from_pip(ml: Path) -> list[str]:
    """Rename what AWS's toolkit would install into the environment that runs it, for every trial anew.

    Returns:
        The names of what was there.
    """
    found = [name for name in _INSTALLS if (ml / "code" / name).is_file()]
    for name in found:
        (ml / "code" / name).rename(ml / "code" / f"{name}{_KEPT}")
    return found


def mark(archive: Path) -> str:
    """One name for each archive: its code is unpacked and compiled once for all of its trials."""
    state = archive.stat()
    # links to one file are one archive; a number that is used again comes with another time or size
    text = f"{state.st_dev} {state.st_ino} {state.st_mtime_ns} {state.st_size}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _unpack(archive: Path, code: Path, kept: Path) -> None:
    """A copy of what was unpacked before costs a third of unpacking with its checks (15 ms for 42)."""
    if archive.stat().st_size > _KEPT_BYTES:
        return _extract(archive, code)
    whole = kept / mark(archive)
    if not whole.is_dir():
        kept.mkdir(mode=0o700, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=kept))
        try:
            _extract(archive, temporary)
            with contextlib.suppress(OSError):  # another trial was sooner
                temporary.rename(whole)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(whole, code, symlinks=True, dirs_exist_ok=True)
    except (shutil.Error, OSError) as error:
        raise CodeError(f"{archive.name} ({SUBMITTED}) cannot be unpacked: {error}") from error


def _extract(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            if hasattr(tarfile, "data_filter"):  # refuses links and names that lead out of it, and devices
                tar.extractall(folder, filter="data")
            else:  # Python before 3.11.4
                tar.extractall(folder, members=[_plain(member) for member in tar])
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise CodeError(f"{archive.name} ({SUBMITTED}) cannot be unpacked: {error}") from error


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise tarfile.TarError(f"{member.name!r} leads out of it, or is no plain file")
    member.mode &= 0o755
    return member
