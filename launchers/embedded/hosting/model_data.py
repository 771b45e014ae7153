"""What lies in a container's ``/opt/ml/model``, brought there from S3."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.embedded.artifacts import Objects, split
from sweepmaker.run.unpack import UnpackError, inside, unpack


class ModelDataError(Exception):
    """It is not in S3, or is not what it should be."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address}: {why}")
        self.address = address


def bring(store: Objects, container: Mapping[str, Any], folder: Path) -> None:
    """Make ``folder`` the model of a container, whole or not at all; one that is there already stays.

    Args:
        store: the S3.
        container: ContainerDefinition, with ModelDataUrl or ModelDataSource.
        folder: of the model.

    Raises:
        ModelDataError: there is nothing to bring, or an archive is damaged or reaches out of the folder.
    """
    if folder.exists():
        return
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    address = str(source["S3Uri"] if source else container["ModelDataUrl"])
    with store.pinned():
        try:
            if source is not None and source["S3DataType"] == "S3Prefix":
                _copy(store, address, part)
            elif source is not None and source["CompressionType"] == "None":
                shutil.copyfile(_object(store, address), part / inside(address.rpartition("/")[2]))
            else:
                unpack(_object(store, address), part)
        except UnpackError as error:
            raise ModelDataError(address, str(error)) from None
    part.rename(folder)


def _object(store: Objects, address: str) -> Path:
    bucket, key = split(address)
    for name, _, path in store.list(bucket, key):
        if name == key:
            return path
    raise ModelDataError(address, "there is no such object")


def _copy(store: Objects, address: str, folder: Path) -> None:
    """Copies, not links: the process could write through a link into what S3 keeps."""
    bucket, prefix = split(address)
    found = [(key, path) for key, _, path in store.list(bucket, prefix) if not key.endswith("/")]
    if not found:
        raise ModelDataError(address, "there are no objects")
    for key, path in found:
        target = folder / inside(key.removeprefix(prefix))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise ModelDataError(address, f"{ascii(key)[:200]} is a file and a folder at once") from None
