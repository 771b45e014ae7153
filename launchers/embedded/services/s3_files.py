"""moto's S3 with the contents of objects in files and all else that must last in SQLite.

moto answers the requests; what it keeps in memory is the index. This module uses, of moto 5.2:

* ``S3Backend``: `put_object`, `get_object`, `delete_object`, `upload_part`, `upload_part_copy`,
  `create_multipart_upload`, `create_bucket`, ``buckets``, ``tagger``. Every way to an object's contents leads
  through these, so they are overridden here.
* ``FakeKey`` and ``FakeMultipart``: objects that they make get the class `FileKey` or `FileMultipart`, whose
  ``value`` is a file.
* ``FakeBucket.keys``, with its ``getlist`` and ``setlist``: the versions of each key.
* ``s3_backends``: where moto looks for its backend; ours is there while a request is answered.

Kept over a restart: buckets (region, time, versioning, tags), all versions of all objects with their
metadata, tags, checksums and times, delete markers. Not kept: uploads in parts that were not completed,
access control lists, and policies, lifecycles, encryption and other settings of buckets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, cast

from moto.s3.exceptions import MissingKey, NoSuchUpload
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, FakeMultipart, S3Backend, s3_backends

from launchers.embedded.root import ACCOUNT, REGION
from launchers.embedded.services.bodies import Upload
from launchers.embedded.services.index import Index, Version
from launchers.embedded.services.objects import Contents, FileKey, FileMultipart, copy_range

PARTITION = "aws"
_FIELDS = (
    "_version_id",
    "_is_versioned",
    "_storage_class",
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
    "website_redirect_location",
)


class FileBackend(S3Backend):
    """moto's S3 for one `Index`. Only under moto's lock.

    Args:
        index: what there is already, and where all that comes is kept.
    """

    def __init__(self, index: Index) -> None:
        super().__init__(PARTITION, ACCOUNT)
        self.index = index
        self.names: dict[str, tuple[str, str]] = {}
        self.upload: Upload | None = None
        """The body of the request that is being answered, where it is an object or a part of one."""
        self.writing = False
        self._changed: set[tuple[str, str]] = set()
        self._saved = index.buckets()
        with self.installed():
            self._restore()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Moto's requests are answered from here."""
        accounts = s3_backends[ACCOUNT]
        before, names = accounts[PARTITION], s3_backends.bucket_accounts
        accounts[PARTITION], s3_backends.bucket_accounts = self, self.names
        try:
            yield
        finally:
            accounts[PARTITION], s3_backends.bucket_accounts = before, names
            # moto remembers every object ever made, for its dashboard.
            for kind in (FakeKey, FakeMultipart, FileKey, FileMultipart, FakeDeleteMarker):
                cast(Any, kind).instances_tracked.clear()

    def commit(self) -> None:
        """Put down what has changed; after that a client may be told."""
        objects = {(bucket, key): self._versions(bucket, key) for bucket, key in self._changed}
        settings = {name: self._settings(bucket) for name, bucket in self.buckets.items()}
        buckets: dict[str, dict[str, Any] | None] = {
            name: found for name, found in settings.items() if self._saved.get(name) != found
        }
        buckets |= dict.fromkeys(set(self._saved) - set(settings))
        if objects or buckets:
            self.index.save(objects, buckets)
        self._saved = settings
        self._changed.clear()

    # What moto calls

    def create_bucket(self, bucket_name: str, region_name: str, *args: Any, **more: Any) -> FakeBucket:
        return super().create_bucket(bucket_name, region_name or REGION, *args, **more)

    def put_object(self, bucket_name: str, key_name: str, value: bytes, *args: Any, **more: Any) -> FileKey:
        contents = self._contents(value)
        key = super().put_object(bucket_name, key_name, b"", *args, **more)
        self.tagger.delete_all_tags_for_resource(key.arn)  # they were the ones of what was here before
        self._changed.add((bucket_name, key_name))
        return FileKey.adopt(key, self.index.path(contents.kept_in(self.index)), contents)

    def get_object(self, bucket_name: str, key_name: str, *args: Any, **more: Any) -> FakeKey | None:
        if self.writing:  # its tags, its lock, its class: whatever is done with it
            self._changed.add((bucket_name, key_name))
        return super().get_object(bucket_name, key_name, *args, **more)

    def delete_object(
        self, bucket_name: str, key_name: str, *args: Any, **more: Any
    ) -> tuple[bool, dict[str, Any]]:
        self._changed.add((bucket_name, key_name))
        done: tuple[bool, dict[str, Any]] = super().delete_object(bucket_name, key_name, *args, **more)
        return done

    def create_multipart_upload(self, *args: Any, **more: Any) -> FileMultipart:
        return FileMultipart.adopt(super().create_multipart_upload(*args, **more), self.index)

    def upload_part(self, bucket_name: str, multipart_id: str, part_id: int, value: bytes) -> FileKey:
        return self._upload_of(bucket_name, multipart_id).add(part_id, self._contents(value))

    def upload_part_copy(
        self,
        dest_bucket_name: str,
        multipart_id: str,
        part_id: int,
        src_bucket_name: str,
        src_key_name: str,
        src_version_id: str | None,
        start_byte: int | None,
        end_byte: int | None,
    ) -> FileKey:
        source = super().get_object(src_bucket_name, src_key_name, version_id=src_version_id)
        if not isinstance(source, FileKey):
            raise MissingKey(key=src_key_name)
        start, end = start_byte or 0, source.size if end_byte is None else min(end_byte + 1, source.size)
        part = copy_range(source.file, self.index.incoming(), start, end)
        return self._upload_of(dest_bucket_name, multipart_id).add(part_id, part)

    # The rest

    def _upload_of(self, bucket: str, identity: str) -> FileMultipart:
        found = self.get_bucket(bucket).multiparts.get(identity)
        if not isinstance(found, FileMultipart):
            raise NoSuchUpload(upload_id=identity)
        return found

    def _contents(self, value: bytes) -> Contents:
        """What moto means by ``value``: a file that there is, the request's body, or some bytes."""
        if isinstance(value, Contents):
            return value
        if self.upload is not None:
            return Contents(self.upload.path, self.upload.size, self.upload.md5)
        path = self.index.incoming()
        path.write_bytes(value)
        return Contents(path, len(value), hashlib.md5(value, usedforsecurity=False).hexdigest())

    def _settings(self, bucket: FakeBucket) -> dict[str, Any]:
        return {
            "region": bucket.region_name,
            "created": bucket.creation_date.timestamp(),
            "versioning": bucket.versioning_status,
            "tags": self.tagger.get_tag_dict_for_resource(bucket.arn),
        }

    def _versions(self, bucket: str, key: str) -> list[Version]:
        found = self.buckets[bucket].keys.getlist(key, []) if bucket in self.buckets else []
        return [self._version(version) for version in found]

    def _version(self, key: FileKey | FakeDeleteMarker) -> Version:
        record = {"modified": key.last_modified.replace(tzinfo=UTC).timestamp(), "version": key.version_id}
        if isinstance(key, FakeDeleteMarker):
            return Version(None, 0, record)
        record |= {"etag": key.md5, "metadata": dict(key.metadata)}
        record |= {"fields": {name: getattr(key, name, None) for name in _FIELDS}}
        record |= {"tags": self.tagger.get_tag_dict_for_resource(key.arn)}
        return Version(self.index.name(key.file), key.size, record)

    def _restore(self) -> None:
        """What the index has, as moto's objects."""
        for name, settings in self._saved.items():
            bucket = super().create_bucket(name, settings["region"])
            bucket.creation_date = datetime.fromtimestamp(settings["created"], UTC)
            bucket.versioning_status = settings["versioning"]
            self.put_bucket_tagging(name, settings["tags"])
        for name, key, version in self.index.objects():
            versions = self.buckets[name].keys
            versions.setlist(key, [*versions.getlist(key, []), self._restored(name, key, version, versions)])

    def _restored(self, bucket: str, name: str, version: Version, there: Any) -> FileKey | FakeDeleteMarker:
        record = version.record
        modified = datetime.fromtimestamp(record["modified"], UTC).replace(tzinfo=None)  # as moto has it
        if version.file is None:
            before = there.getlist(name, [])
            marker = FakeDeleteMarker(before[-1] if before else FakeKey(name, b"", ACCOUNT, REGION))
            marker.name, marker.last_modified, marker._version_id = name, modified, record["version"]
            return marker
        contents = Contents(self.index.path(version.file), version.size, record["etag"])
        key = FileKey.adopt(
            FakeKey(name, b"", ACCOUNT, PARTITION, bucket_name=bucket), contents.file, contents
        )
        for field, value in record["fields"].items():
            setattr(key, field, value)
        key.last_modified = modified
        key.set_metadata(dict(record["metadata"]), replace=True)
        if record["tags"]:
            self.tagger.tag_resource(key.arn, [{"Key": k, "Value": v} for k, v in record["tags"].items()])
        return key
