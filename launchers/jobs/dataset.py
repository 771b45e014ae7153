"""A local data set into S3, once, under its content fingerprint.

``<prefix>/data/<fingerprint>/...`` holds the images; ``<prefix>/data/<fingerprint>.json``, written
last, says that they are all there. The fingerprint is the one of a training run, so the key changes
exactly when the data does.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.storage import Storage, Upload
from launchers.jobs.glance import glance, remember
from sweepmaker.config.errors import ConfigError

UNKNOWN = "known-when-the-images-were-read"
"""Stands for the fingerprint in a dry run of data that nobody has looked at yet."""

Say = Callable[[str], None]

_FORMAT = 1  # of the manifest
_OURS = "sweepmaker.data.ImageDataModule"
_S3_URI = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?")


@dataclass(frozen=True)
class Place:
    """Where a data set lies, or would lie, in S3, and the channel that brings it."""

    uri: str
    """Ends with a slash: SageMaker takes a prefix without one for any key that begins so."""
    fingerprint: str
    """Empty for an ``s3://`` root, `UNKNOWN` where a dry run cannot tell."""
    files: int
    size: int
    """Bytes; of data that nobody has looked at, a bound."""
    sent: int = 0
    """Objects that were uploaded now."""
    channel: str = "data"
    """``cache`` for decoded images in one file (``data.cache_uri``)."""


@dataclass(frozen=True)
class Dataset:
    """A local data set, every image of it looked at."""

    fingerprint: str
    folder: str
    """Its key prefix in the bucket, with the slash."""
    uploads: tuple[Upload, ...]
    manifest: Upload

    @property
    def size(self) -> int:
        """Bytes of all images."""
        return sum(upload.size for upload in self.uploads)


def say(line: str) -> None:
    """One line for the user, on stderr."""
    print(line, file=sys.stderr, flush=True)


def preview(data: Mapping[str, Any], bucket: str, prefix: str) -> Place | None:
    """Where the data would lie, without reading an image, without network, without torch.

    Args:
        data: the config's ``data`` node.
        bucket: its name, or a placeholder.
        prefix: ``where.prefix``.

    Returns:
        None where a container needs no data brought to it (digits).

    Raises:
        ConfigError: ``data.root`` is neither a folder nor an S3 URI, or the data is not of our kind.
    """
    found = _given(data)
    if found is None or isinstance(found, Place):
        return found
    seen = glance(data, found)
    fingerprint = seen.fingerprint or UNKNOWN
    return Place(f"s3://{bucket}/{folder_of(prefix, fingerprint)}", fingerprint, seen.files, seen.size)


def ensure(data: Mapping[str, Any], storage: Storage, prefix: str, *, say: Say = say) -> Place | None:
    """The data's place in S3, uploaded as far as it is not there yet.

    Args and Returns as `preview`; unchanged data that was uploaded before costs one HEAD request.

    Raises:
        ConfigError, DataError: the data; see `look`.
        UserError: S3; see `Storage.put_all`.
    """
    found = _given(data)
    if found is None or isinstance(found, Place):
        return found
    seen = glance(data, found)
    if seen.fingerprint is not None:
        manifest = _manifest(prefix, seen.fingerprint, seen.files, seen.size)
        storage.check()
        if storage.has(manifest):
            uri = storage.uri(folder_of(prefix, seen.fingerprint))
            return Place(uri, seen.fingerprint, seen.files, seen.size)
    dataset = look(data, found, prefix, say=say)
    return send(dataset, storage)


def send(dataset: Dataset, storage: Storage) -> Place:
    """Upload what is not there yet; the manifest last.

    Raises:
        UserError: see `Storage.put_all`.
    """
    place = Place(storage.uri(dataset.folder), dataset.fingerprint, len(dataset.uploads), dataset.size)
    storage.check()
    if storage.has(dataset.manifest):
        return place
    sent = storage.put_all(dataset.uploads)
    storage.put(dataset.manifest)
    return Place(place.uri, place.fingerprint, place.files, place.size, sent)


def look(data: Mapping[str, Any], root: Path, prefix: str, *, say: Say = say) -> Dataset:
    """Every image below ``root`` looked at (those that are known and unchanged only by name).

    Bad images stop it or are left out, as ``data.on_bad_image`` says for training.

    Raises:
        ConfigError: there is nothing to train on.
        DataError: bad images; names that S3 has no key for; what would be lost on the way.
    """
    from launchers.jobs import dataset_files  # torch: seconds

    before = glance(data, root)
    fingerprint, files = dataset_files.read(data, root, say)
    folder = folder_of(prefix, fingerprint)
    what = f"images of {root}"
    uploads = tuple(
        Upload(folder + file.name, file.path, file.size, what, sha256=file.sha256) for file in files
    )
    size = sum(file.size for file in files)
    if glance(data, root).state == before.state:
        remember(root, before.state, fingerprint, len(uploads), size)
    return Dataset(fingerprint, folder, uploads, _manifest(prefix, fingerprint, len(uploads), size))


def local_root(data: Mapping[str, Any]) -> Path | None:
    """The folder on this machine that `ensure` would upload; None where there is none.

    Raises:
        ConfigError: as `preview`.
    """
    found = _given(data)
    return found if isinstance(found, Path) else None


def folder_of(prefix: str, fingerprint: str) -> str:
    """The key prefix of a data set's images, with the slash."""
    return f"{_data_prefix(prefix)}{fingerprint}/"


def _data_prefix(prefix: str) -> str:
    inner = prefix.strip("/")
    return f"{inner}/data/" if inner else "data/"


def _manifest(prefix: str, fingerprint: str, files: int, size: int) -> Upload:
    content = {"format": _FORMAT, "fingerprint": fingerprint, "files": files, "bytes": size}
    text = json.dumps(content, sort_keys=True).encode()
    key = f"{_data_prefix(prefix)}{fingerprint}.json"
    return Upload(key, text, len(text), "list of images", hashlib.sha256(text).hexdigest())


def _given(data: Mapping[str, Any]) -> Path | Place | None:
    """The local folder, the place in S3, or None for data that comes with the code."""
    root, cache = data.get("root"), data.get("cache_uri")
    if cache is not None:
        return _cached(cache, root)
    if isinstance(root, str) and root.startswith("s3:"):
        return Place(folder_uri(root, "data.root"), "", 0, 0)
    if data.get("_target_", _OURS) != _OURS:
        if root is None:
            return None
        raise ConfigError(
            "which of its files belong to a data module of your own is not known here",
            key="data.root",
            fix="upload them (aws s3 sync FOLDER s3://BUCKET/FOLDER) and set data.root=s3://BUCKET/FOLDER",
        )
    if data.get("source") == "digits":
        return None
    return _folder(data.get("source"), root)


def folder_uri(uri: str, key: str) -> str:
    """``s3://BUCKET/FOLDER/``, with the slash.

    Raises:
        ConfigError: it is no such thing.
    """
    if not _S3_URI.fullmatch(uri):
        raise ConfigError(
            f"{uri!r} is not an S3 URI",
            key=key,
            allowed="s3://BUCKET/FOLDER, the bucket of 3 to 63 of a-z, 0-9, . and -",
        )
    return uri.rstrip("/") + "/"


def _cached(cache: Any, root: Any) -> Place:
    if root is not None:
        raise ConfigError(
            "the cache stands in the place of the images, and data.root names images, too",
            key="data.cache_uri",
            allowed="one of the two",
            fix="data.root=null",
        )
    if not str(cache).startswith("s3:"):
        raise ConfigError(
            f"{cache} is on this machine",
            key="data.cache_uri",
            allowed="s3://BUCKET/FOLDER",
            fix="python data.py action=cache data.root=FOLDER data.cache_uri=s3://BUCKET/FOLDER",
        )
    return Place(folder_uri(str(cache), "data.cache_uri"), "", 0, 0, channel="cache")


def _folder(source: Any, root: Any) -> Path:
    if root is None and source == "fashion_mnist":
        root = "/usr/share/datasets/fashion-mnist"  # as sweepmaker.data.fashion_mnist, which imports torch
    if not root:
        raise ConfigError("the folder of images is missing", key="data.root", fix="data.root=FOLDER")
    path = Path(str(root)).expanduser().absolute()
    if not path.is_dir():
        raise ConfigError(
            f"{path} is not a folder",
            key="data.root",
            allowed="a folder on this machine, or s3://BUCKET/FOLDER",
        )
    return path
