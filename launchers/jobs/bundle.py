"""The source bundle: what git knows of the checkout, the static overrides, and what to install.

A trial runs from an unpacked bundle: train.py, src/, conf/ and the user's own modules as they are on
disk now. The same content gives the same bytes and the same digest on every machine, so that it is
uploaded once.
"""

from __future__ import annotations

import hashlib
import math
import os
import shlex
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launchers.jobs import archive, git_files, selection, wheelhouse
from launchers.jobs import packages as installs
from launchers.jobs.archive import Member
from launchers.jobs.selection import Source
from sweepmaker.config.errors import ConfigError

KEY_SIZE = "job.max_bundle_mb"
MB = 1_000_000  # bytes
MAX_WHEELHOUSE_MB = 500
_LARGEST = 5  # files named when the bundle is too large


@dataclass(frozen=True)
class Bundle:
    """What a job runs.

    Args:
        data: a .tar.gz; the same content gives the same bytes.
        sha256: hex digest of the tar inside, which does not depend on the build of zlib as ``data`` does.
        files: name in the archive and size in bytes, sorted by name.
        commit: HEAD of the checkout.
        dirty: that commit alone does not give these files (modified or untracked ones are in).
        notes: what the user may want to know before sending, one line each.
    """

    data: bytes
    sha256: str
    files: tuple[tuple[str, int], ...]
    commit: str
    dirty: bool
    notes: tuple[str, ...] = ()


def build(
    checkout: Path,
    overrides: Sequence[str],
    channels: Mapping[str, str],
    *,
    swept: Mapping[str, int] | None = None,
    packages: str,
    include_untracked: bool,
    max_mb: float,
    python: str = "3.12",
    machine: str = "x86_64",
    download: bool = True,
) -> Bundle:
    """Pack what a trial needs.

    Args:
        checkout: folder of train.py, in a git checkout.
        overrides: static lines of the command line, replayed in every trial.
        channels: input channel to the config key that names its folder.
        swept: each swept key to the number of overrides before it.
        packages: ``job.packages``: index, wheelhouse or image.
        include_untracked: ``job.include_untracked``.
        max_mb: ``job.max_bundle_mb``, in MB of 10^6 bytes: limit on the files of the checkout, unpacked.
        python: version in the container; only a wheelhouse must know it.
        machine: the container's architecture (``aarch64`` for Graviton); only a wheelhouse must know it.
        download: False in a dry run: wheels that are not at hand are left out, and a note says so.

    Raises:
        ConfigError: the checkout cannot be packed as it is, or should not be.
        UserError: the wheels could not be downloaded.
    """
    from sweepmaker.container.overrides import STATIC_FILE, dump_static

    if packages not in installs.CHOICES:
        allowed = ", ".join(installs.CHOICES)
        raise ConfigError(f"{packages!r} is none of the choices", key=installs.KEY, allowed=allowed)
    found = git_files.listing(checkout)
    chosen = selection.select(checkout, found, include_untracked=include_untracked)
    _refuse_names(chosen.sources, STATIC_FILE, packages)
    _refuse_size(chosen.sources, max_mb)
    members = {name: _member(name, source) for name, source in chosen.sources.items()}
    members[STATIC_FILE] = Member(dump_static(overrides, channels, swept))
    notes = list(chosen.notes)
    if packages != "image":
        pins = installs.training_pins(_text(members, installs.LOCK), _text(members, installs.PROJECT))
        text, wheels = installs.requirements(pins), dict[str, bytes]()
        if packages == "wheelhouse":
            wheels = wheelhouse.fetch(pins, python, machine, download=download)
            text = wheelhouse.requirements_for(pins, wheels, python, machine)
            _check_wheels(wheels, notes)
        members |= {f"{installs.WHEELHOUSE}/{name}": Member(data) for name, data in wheels.items()}
        members[installs.REQUIREMENTS] = Member(text.encode())
    content = archive.tar(members)
    return Bundle(
        data=archive.gzip(content),
        sha256=hashlib.sha256(content).hexdigest(),
        files=tuple(sorted((name, len(member.data)) for name, member in members.items())),
        commit=found.commit,
        dirty=found.dirty or chosen.untracked,
        notes=tuple(notes),
    )


def _text(members: Mapping[str, Member], name: str) -> str:
    if name not in members:
        raise ConfigError(
            f"{name} says what to install in the container, and git does not have it",
            key=installs.KEY,
            fix=f"make lock && git add {name}   (or job.packages=image with an image of your own)",
        )
    try:
        return members[name].data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{name} is not UTF-8 text", key=installs.KEY) from None


def _member(name: str, source: Source) -> Member:
    """Read as a plain file: never through a link, never waiting for a pipe that came in its place."""
    try:
        handle = os.open(source.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ConfigError(f"{shlex.quote(name)} changed while it was read", fix="launch again")
            return Member(file.read(), source.executable)
    except OSError as error:
        raise ConfigError(f"{shlex.quote(name)} cannot be read: {error.strerror or error}") from None


def _refuse_names(sources: Iterable[str], static_file: str, packages: str) -> None:
    """Names that AWS's toolkit acts upon, be it a file or a folder, or that are ours."""
    names = {name.split("/")[0] for name in sources}
    if static_file in names:
        raise ConfigError(
            f"{static_file} is written by the launch, and git has a file of that name",
            fix=f"git mv {static_file} another_name.json",
        )
    if "setup.py" in names:
        raise ConfigError(
            "with a setup.py beside train.py, AWS's toolkit installs the folder and starts the program "
            "as an installed module, where it finds no conf/",
            fix="git rm setup.py (pyproject.toml does the same), or move it into a folder",
        )
    if packages != "image" and installs.REQUIREMENTS in names:
        raise ConfigError(
            f"{installs.REQUIREMENTS} is written by the launch, and git has a file of that name",
            key=installs.KEY,
            fix="put its packages into the dependencies of pyproject.toml, run make lock, then "
            f"git rm {installs.REQUIREMENTS}; or job.packages=image with an image that has them",
        )
    if packages == "wheelhouse" and installs.WHEELHOUSE in names:
        raise ConfigError(
            f"{installs.WHEELHOUSE}/ is written by the launch, and git has files there",
            key=installs.KEY,
            fix=f"git mv {installs.WHEELHOUSE} another_name",
        )


def _refuse_size(sources: Mapping[str, Source], max_mb: float) -> None:
    sizes = {name: source.size for name, source in sources.items()}
    total = sum(sizes.values())
    if total <= max_mb * MB:
        return
    largest = sorted(sizes.items(), key=lambda entry: (-entry[1], entry[0]))[:_LARGEST]
    named = ", ".join(f"{shlex.quote(name)} ({size / MB:.1f} MB)" for name, size in largest)
    raise ConfigError(
        f"the files that git has for a trial are {total / MB:.1f} MB together; the largest: {named}",
        key=KEY_SIZE,
        allowed=f"at most {max_mb:g} MB",
        fix="data belongs under data.root and out of git: git rm --cached FILE, and a line in .gitignore; "
        f"if all of it is needed: {KEY_SIZE}={math.ceil(total / MB)}",
    )


def _check_wheels(wheels: Mapping[str, bytes], notes: list[str]) -> None:
    if not wheels:
        notes.append(
            f"{installs.KEY}=wheelhouse: the wheels are not downloaded yet; with them the bundle is "
            "larger and has another digest"
        )
    size = sum(map(len, wheels.values()))
    if size > MAX_WHEELHOUSE_MB * MB:
        raise ConfigError(
            f"the wheels are {size / MB:.0f} MB together, which every container would download and unpack",
            key=installs.KEY,
            allowed=f"at most {MAX_WHEELHOUSE_MB} MB",
            fix="job.packages=image with an image of your own: docker/Dockerfile",
        )
