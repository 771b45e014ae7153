"""What goes into a training job from S3 and what it leaves there."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from launchers.embedded.root import REGION
from sweepmaker.run.atomic import write_json


class Objects(Protocol):
    """The S3 of this server."""

    def pinned(self) -> AbstractContextManager[None]: ...
    def list(self, bucket: str, prefix: str) -> list[tuple[str, int, Path]]: ...
    def put_file(self, bucket: str, key: str, path: Path, *, move: bool = False) -> None: ...
    def delete(self, bucket: str, key: str) -> None: ...


class DownloadError(Exception):
    """An input is not there."""


def split(uri: str) -> tuple[str, str]:
    """Bucket and key, or prefix, of an ``s3://`` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key.lstrip("/")


def channel_files(store: Objects, channel: Mapping[str, Any]) -> list[tuple[str, Path]]:
    """(name within the channel, file) for each object that an S3Prefix channel stands for.

    Raises:
        DownloadError: there is none.
    """
    uri = str(channel["DataSource"]["S3DataSource"]["S3Uri"])
    bucket, prefix = split(uri)
    found = [(key, path) for key, _, path in store.list(bucket, prefix) if not key.endswith("/")]
    if not found:
        raise DownloadError(
            f'ClientError: Data download failed:No S3 objects found under S3 URL "{uri}" given in input '
            f"data source. Please ensure that the bucket exists in the selected region ({REGION}) and that "
            f"objects exist under that S3 prefix."
        )
    return [(_within(key, prefix), path) for key, path in found]


def _within(key: str, prefix: str) -> str:
    """A key's name in the channel's folder."""
    if not prefix.endswith("/") and not key.startswith(f"{prefix}/"):
        prefix = prefix.rpartition("/")[0]  # a file's own key, or a prefix that ends within a name
    return key.removeprefix(prefix).lstrip("/")


def code(store: Objects, hyperparameters: Mapping[str, str], folder: Path) -> Path | None:
    """The archive that ``sagemaker_submit_directory`` names in S3, now in ``folder``.

    None where it is no S3 address. It is linked: the trial keeps what it started with when somebody
    uploads another one meanwhile.

    Raises:
        DownloadError: it is not there.
    """
    uri = str(hyperparameters.get("sagemaker_submit_directory", "")).strip('"')
    if not uri.startswith("s3://"):
        return None
    bucket, key = split(uri)
    target = folder / ("sourcedir.py" if key.endswith(".py") else "sourcedir.tar.gz")
    path = next((path for name, _, path in store.list(bucket, key) if name == key), None)
    if path is None:
        raise DownloadError(f"ClientError: {uri} (sagemaker_submit_directory) does not exist")
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(path, target)
    return target


def upload(store: Objects, folder: Path, address: str, name: str, *, compressed: bool) -> str | None:
    """What is in ``folder``, as ``<address>/<name>.tar.gz`` or file by file below ``<address>/<name>/``.

    Returns:
        The address it got; None for an empty folder.
    """
    files = sorted(_files(folder))
    if not files:
        return None
    bucket, prefix = split(address)
    if not compressed:
        for path in files:
            store.put_file(bucket, f"{prefix}/{name}/{path.relative_to(folder).as_posix()}", path)
        return f"{address}/{name}/"
    with (
        tempfile.NamedTemporaryFile(dir=folder.parent, suffix=".tar.gz", delete=False) as file,
        tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as tar,
    ):
        for path in files:
            tar.add(path, arcname=path.relative_to(folder).as_posix(), recursive=False)
    store.put_file(bucket, f"{prefix}/{name}.tar.gz", Path(file.name), move=True)
    return f"{address}/{name}.tar.gz"


def _files(folder: Path) -> Iterator[Path]:
    """Regular files below ``folder``; a link could lead out of it."""
    for place, _, names in os.walk(folder):  # passes over what a running trial removes meanwhile
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


class Checkpoints:
    """A trial's checkpoint folder and its copy in S3.

    Args:
        store: the S3.
        folder: where the trial writes.
        uri: CheckpointConfig's S3Uri.
        within: of what is there, only what lies below this folder is the trial's own; empty for all.
        record: file that tells the next server what was copied.
    """

    def __init__(self, store: Objects, folder: Path, uri: str, within: str, record: Path) -> None:
        self._store = store
        self._folder = folder
        self._bucket, prefix = split(uri)
        self._prefix = prefix.rstrip("/")
        self._within = PurePosixPath(within)
        self._record = record
        self._copied: dict[str, tuple[int, int] | None] = {}

    def recall(self) -> None:
        """For a job that goes on where it was: what was copied, and so may have to be deleted."""
        try:
            names = json.loads(self._record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            names = []
        self._copied = dict.fromkeys(names)

    def restore(self) -> int:
        """Bring back what is in S3, for a job that starts again on another machine; how many files.

        Raises:
            DownloadError: a key is a file here and a folder there.
        """
        self._copied = {}
        start = "/".join(part for part in (self._prefix, str(self._within)) if part not in ("", "."))
        for key, _, path in self._store.list(self._bucket, f"{start}/" if start else ""):
            name = key.removeprefix(self._prefix).lstrip("/")
            if key.endswith("/") or ".." in PurePosixPath(name).parts:
                continue
            target = self._folder / name
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)  # a copy: the trial may write into it
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise DownloadError(
                    f"ClientError: Data download failed:Failed to download data. The S3 key "
                    f"{ascii(key)[:200]} of the checkpoints is a file and a folder at once."
                ) from None
            self._copied[name] = _state(target)
        self._keep()
        return len(self._copied)

    def copy(self) -> None:
        """Bring S3 up to what is in the folder, what other files need first: it may end at any file."""
        files = {path.relative_to(self._folder).as_posix(): path for path in _files(self._folder)}
        there = set(files)
        if new := there - set(self._copied):
            self._copied |= dict.fromkeys(new)
            self._keep()  # first: what is in S3 and not in the record would never be deleted
        for name, path in sorted(files.items(), key=lambda file: _is_needed(file[0]), reverse=True):
            try:
                state = _state(path)
                if self._copied.get(name) != state:
                    self._store.put_file(self._bucket, self._key(name), path)
                    self._copied[name] = state
            except FileNotFoundError:  # replaced or removed meanwhile; the next copy sees it
                continue
        for name in set(self._copied) - there:
            self._store.delete(self._bucket, self._key(name))
            del self._copied[name]

    def _keep(self) -> None:
        write_json(self._record, sorted(self._copied))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def _is_needed(name: str) -> bool:
    """Whether it is the large file of weights that checkpoints beside it leave out."""
    return PurePosixPath(name).name.startswith("frozen-")


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
