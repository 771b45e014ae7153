"""Objects that trials left in S3: listed, and brought here as they are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from launchers.aws.clients import UPLOAD_THREADS, Clients
from launchers.aws.failures import explained
from sweepmaker.config.errors import UserError
from sweepmaker.run import interrupt
from sweepmaker.run.unpack import UnpackError, inside

_PARTS = ("output", "model")
_ARCHIVES = tuple(f"{part}.tar.gz" for part in _PARTS)
_RESERVE = 256 << 20  # bytes of the disk that stay free


class Objects:
    """What lies below one S3 address, a folder for each trial.

    Args:
        clients: of the account.
        address: ``s3://bucket/prefix``, S3OutputPath of the job.
    """

    def __init__(self, clients: Clients, address: str) -> None:
        self._clients = clients
        self.bucket, _, prefix = address.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        owner = clients.where.get("bucket_owner")
        mine = owner and clients.where.get("bucket") == self.bucket
        self._owner = {"ExpectedBucketOwner": str(owner)} if mine else {}

    def of_trial(self, trial: str) -> dict[str, tuple[str, int]]:
        """Name below the trial's output -> ETag and size (bytes), of what is collected.

        Raises:
            UserError: S3 refuses or cannot be reached.
        """
        found: dict[str, tuple[str, int]] = {}
        start = self._start(trial)
        with explained(self._where()):
            pages = self._clients.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=start, **self._owner
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    name = str(entry["Key"]).removeprefix(start)
                    part = name.partition("/")[0]
                    if name in _ARCHIVES or (part in _PARTS and part != name and not name.endswith("/")):
                        found[name] = (str(entry["ETag"]), int(entry["Size"]))
        return found

    def download(self, trial: str, names: Mapping[str, tuple[str, int]], folder: Path) -> None:
        """Bring objects of a trial below ``folder``; after an error what is there is not whole.

        Raises:
            UnpackError: a key is not the name of a file below a folder.
            UserError: S3 refuses or breaks off, or the disk has no room for them.
        """
        folder.mkdir(parents=True)
        files = [(f"{self._start(trial)}{name}", folder / inside(name)) for name in names]
        size = sum(size for _, size in names.values())
        free = shutil.disk_usage(folder).free
        if size > free - _RESERVE:
            raise UserError(f"{size} bytes are to be collected, and the disk of {folder} has {free} left")
        if files:
            with explained(self._where()):
                self._fetch(files)
        for name, (_, expected) in names.items():
            if (folder / name).stat().st_size != expected:
                raise UserError(f"{name} of {trial} changed while it was collected", fix="collect again")

    def _fetch(self, files: list[tuple[str, Path]]) -> None:
        from s3transfer.manager import TransferConfig, TransferManager

        config = TransferConfig(max_request_concurrency=UPLOAD_THREADS)
        with TransferManager(self._clients.s3, config) as manager:  # an error cancels the others
            try:
                begun: list[Any] = []
                for key, path in files:
                    try:
                        path.parent.mkdir(parents=True, exist_ok=True)
                    except (FileExistsError, NotADirectoryError):
                        raise UnpackError(f"{key!a} is a file and a folder") from None
                    begun.append(manager.download(self.bucket, key, str(path), extra_args=self._owner))
                for future in begun:
                    future.result()
            except interrupt.Interrupted:
                interrupt.finish()  # or it would be raised again in the middle of the clearing up
                raise

    def _start(self, trial: str) -> str:
        return f"{self._prefix}{trial}/output/"

    def _where(self) -> dict[str, Any]:
        return {**self._clients.where, "bucket": self.bucket}
