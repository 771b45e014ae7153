"""The job's code, for an image of our own: found where the job says, checked, and unpacked."""

from __future__ import annotations

import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.container.folders import Folders

ARCHIVE = "sourcedir.tar.gz"
CHANNEL = "code"
MAX_FILES = 100_000
MAX_BYTES = 4 << 30  # unpacked; the launch allows far less

_SUBMITTED = "sagemaker_submit_directory"
_WHERE = f"an image of our own takes the code from the input channel {CHANNEL!r}: job.code=channel"


def find(hyperparameters: Mapping[str, object], folders: Folders) -> Path | None:
    """The job's archive or folder of code; None where the job brings none.

    That is what ``sagemaker_submit_directory`` names, else ``sourcedir.tar.gz`` in the channel
    ``code``.

    Raises:
        ConfigError: it lies in S3, which nothing here can read, or there is no such file.
    """
    given = hyperparameters.get(_SUBMITTED)
    if given is None:
        path = folders.base / "input" / "data" / CHANNEL / ARCHIVE
        return path if path.exists() else None
    if not isinstance(given, str) or "\0" in given:
        raise ConfigError("is no path", key=_SUBMITTED)
    text = given.strip('"')  # the SDK sends every hyperparameter as JSON
    if "://" in text:
        raise ConfigError(f"{text} is not on this machine", key=_SUBMITTED, fix=_WHERE)
    path = folders.local(text)
    if not path.exists():
        raise ConfigError(f"{path} is missing", key=_SUBMITTED, fix=_WHERE)
    return path


def unpack(archive: Path, target: Path) -> None:
    """Unpack a ``.tar.gz`` into the empty folder ``target``: files and folders only, all inside it.

    Raises:
        UserError: the archive is damaged or holds something else; ``target`` then holds a part of it.
    """
    seen: set[str] = set()
    total = 0
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = _place(member, archive)
                if str(path) in seen and not member.isdir():
                    raise UserError(f"{archive}: {member.name!r} stands in it twice")
                seen.add(str(path))
                total += member.size
                if len(seen) > MAX_FILES or total > MAX_BYTES:
                    raise UserError(f"{archive}: more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB in it")
                _write(tar, member, target / path)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(f"{archive} cannot be unpacked: {error}") from error


def _place(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\0" in member.name:
        raise UserError(f"{archive}: {member.name!r} leads out of it")
    if not (member.isdir() or member.isreg()) or member.issparse():
        raise UserError(f"{archive}: {member.name!r} is neither a file nor a folder")
    return path


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None, member.name
    with content, path.open("xb") as file:
        shutil.copyfileobj(content, file)
    if member.mode & 0o100:
        path.chmod(path.stat().st_mode | (0o111 & ~_umask()))


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
