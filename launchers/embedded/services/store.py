"""S3 for the server itself: what it puts clients see at once, and what they put it finds as files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from moto.s3.exceptions import MissingBucket

from launchers.embedded.root import REGION
from launchers.embedded.services.index import copy, measure
from launchers.embedded.services.moto_apps import LOCK
from launchers.embedded.services.objects import Contents
from launchers.embedded.services.s3_files import FileBackend


class Store:
    """Buckets and objects. For several threads."""

    def __init__(self, backend: FileBackend) -> None:
        self._backend = backend

    def ensure_bucket(self, name: str) -> None:
        """Make the bucket unless it is there."""
        with LOCK, self._backend.installed():
            if name not in self._backend.buckets:
                self._backend.create_bucket(name, REGION)
                self._backend.commit()

    def pinned(self) -> AbstractContextManager[None]:
        """Files that are listed inside stay until its end: a snapshot, whatever clients do meanwhile."""
        return self._backend.index.pinned()

    def list(self, bucket: str, prefix: str) -> list[tuple[str, int, Path]]:
        """(key, bytes, file) of all objects whose keys begin with ``prefix``, sorted by key.

        The files never change: hard links to them are as good as copies. One whose object is deleted or
        replaced meanwhile may be gone, unless the list was made inside of `pinned`.
        """
        return self._backend.index.list(bucket, prefix)

    def put_file(self, bucket: str, key: str, path: Path, *, move: bool = False) -> None:
        """Put a file.

        Args:
            bucket: made when missing.
            key: the object's key.
            path: a regular file. It is copied, as it may change later.
            move: take it instead; nobody may have it open for writing.

        Raises:
            OSError: it cannot be read.
        """
        target = self._backend.index.incoming()
        try:
            if move:
                try:
                    path.rename(target)
                except OSError:  # another file system
                    copy(path, target)
                    path.unlink()
                size, md5 = measure(target)
            else:
                size, md5 = copy(path, target)
            self._put(bucket, key, Contents(target, size, md5))
        finally:
            target.unlink(missing_ok=True)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; nothing happens where there is none."""
        with LOCK, self._backend.installed():
            try:
                self._backend.delete_object(bucket, key)
            except MissingBucket:
                return
            self._backend.commit()

    def _put(self, bucket: str, key: str, contents: Contents) -> None:
        with LOCK, self._backend.installed():
            if bucket not in self._backend.buckets:
                self._backend.create_bucket(bucket, REGION)
            self._backend.put_object(bucket, key, contents)
            self._backend.commit()
