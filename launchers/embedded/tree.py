"""The folder that a trial finds at ``/opt/ml``, as SageMaker makes it around a training container."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from launchers.embedded.artifacts import DownloadError
from launchers.embedded.runtimes.spec import TrialSpec

HOST = "algo-1"
GROUP = "homogeneousCluster"

_OPT_ML = PurePosixPath("/opt/ml")
_FICLONE = 0x40049409  # linux/fs.h, the same on x86 and ARM
_NAME_BYTES = 255  # of one name, on every usual file system


def write(ml: Path, *, job: TrialSpec) -> None:
    """Make the folders and the files of ``input/config``; what is there already stays.

    Raises:
        ValueError: ``checkpoint_path`` is not below ``/opt/ml``.
    """
    config = ml / "input" / "config"
    folders = [config, ml / "input" / "data", ml / "model", ml / "output" / "data", ml / "code"]
    if job.checkpoint_path is not None:
        folders.append(ml / PurePosixPath(job.checkpoint_path).relative_to(_OPT_ML))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, object] = {
        "hyperparameters.json": dict(job.hyperparameters),
        "inputdataconfig.json": {name: dict(channel) for name, channel in job.channels.items()},
        "resourceconfig.json": resources(job),
    }
    if job.checkpoint_path is not None:
        contents["checkpointconfig.json"] = {"LocalPath": job.checkpoint_path}
    for name, content in contents.items():
        (config / name).write_text(json.dumps(content), encoding="utf-8")


def resources(job: TrialSpec) -> dict[str, object]:
    """``resourceconfig.json`` of a job on one machine; the network between its processes is loopback."""
    return {
        "current_host": HOST,
        "current_instance_type": job.instance_type,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [
            {"instance_group_name": GROUP, "instance_type": job.instance_type, "hosts": [HOST]}
        ],
        "network_interface_name": "lo" if sys.platform == "linux" else "lo0",
    }


def channels(ml: Path, name: str, files: Iterable[tuple[str, Path]]) -> None:
    """Put ``files`` at ``input/data/<name>``, without a second copy where the file system allows.

    A file becomes a copy-on-write clone (XFS, Btrfs, APFS through a plain copy). Elsewhere it is a hard
    link: the trial then sees the store's own bytes, so these are made read-only (0444), and where the
    trial runs in a private ``/opt/ml`` its writes below ``input/data`` go to a layer of its own, also
    those of root. On another file system than the store's it is copied.

    Args:
        ml: as for `write`.
        name: of the channel.
        files: (path within the channel, file of the store).

    Raises:
        DownloadError: a path leads out of the channel, or is a file here and a folder there.
    """
    folder = ml / "input" / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    placed: dict[PurePosixPath, bool] = {}  # to whether it is a file
    for key, source in files:
        relative = _within(name, key)
        for parent in relative.parents[:-1]:
            if placed.setdefault(parent, False):
                raise _both(name, str(parent))
        if relative in placed:
            raise _both(name, key) if not placed[relative] else _error(name, key, "is there twice")
        placed[relative] = True
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        _place(source, target)


def _within(channel: str, key: str) -> PurePosixPath:
    parts = key.split("/")
    if not key or "\0" in key:
        raise _error(channel, key, "is no name of a file")
    if key.startswith("/") or ".." in parts:
        raise _error(channel, key, "leads out of the channel")
    if "" in parts or "." in parts:
        raise _error(channel, key, "has an empty part, which no file system keeps apart")
    if any(len(os.fsencode(part)) > _NAME_BYTES for part in parts):
        raise _error(channel, key, f"has a part of more than {_NAME_BYTES} bytes")
    return PurePosixPath(*parts)


def _both(channel: str, key: str) -> DownloadError:
    return _error(channel, key, "is a file and a folder at once")


def _error(channel: str, key: str, why: str) -> DownloadError:
    return DownloadError(
        f"ClientError: Data download failed:Failed to download data. The S3 key {ascii(key)[:200]} of the "
        f"channel {channel!r} {why}."
    )


def _place(source: Path, target: Path) -> None:
    try:
        if _clone(source, target):
            return
        source.chmod(0o444)
        target.hardlink_to(source)
    except FileNotFoundError as error:
        raise DownloadError(f"ClientError: Data download failed:{error.filename} is gone") from error
    except OSError:  # another file system, or one without links
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)


def _clone(source: Path, target: Path) -> bool:
    """Copy-on-write, where the file system has it."""
    if sys.platform != "linux":
        return False
    import fcntl

    with source.open("rb") as content, target.open("xb") as file:
        try:
            fcntl.ioctl(file.fileno(), _FICLONE, content.fileno())
        except OSError:
            target.unlink()
            return False
    return True
