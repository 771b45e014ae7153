"""Objects put into S3: each only once, encrypted as configured, into the bucket of the expected owner.

Keys are content-addressed, so what is there under a key with the same size is the same and is not
sent again. No bucket is ever created.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launchers.aws.clients import UPLOAD_THREADS, Clients, identity
from launchers.aws.failures import explained
from launchers.aws.refusals import wrong_region
from launchers.aws.transfer import IN_PARTS_FROM, transfer
from launchers.aws.upload_progress import UploadProgress
from sweepmaker.config.errors import ConfigError, DataError

PLACEHOLDER_BUCKET = "sweepmaker-000000000000"
"""Stands in a dry run's request where ``where.bucket`` is not set."""

_FEW = 20  # so many are asked for one by one; more are listed, a thousand with one call
_ABSENT = frozenset({"404", "403", "NoSuchKey", "NotFound", "AccessDenied"})


@dataclass(frozen=True)
class Upload:
    """One object to put: where from, where to."""

    key: str
    """Inside the bucket, without ``s3://bucket/``; says what the content is (holds its hash)."""
    source: bytes | Path
    """Content in memory, or a file."""
    size: int
    """Bytes."""
    what: str
    """For people: "code and config", "images of data/dogs"."""
    sha256: str = ""
    """Hex; computed where it is not given."""


class Storage:
    """One bucket.

    Args:
        clients: of the bucket's region.
        bucket: its name; it has to exist.
        kms_key: encrypts every object (SSE-KMS); None leaves it to the bucket's default.
        owner: the account (12 digits) that the bucket must belong to; None does not check.
    """

    def __init__(
        self, clients: Clients, bucket: str, kms_key: str | None = None, owner: str | None = None
    ) -> None:
        self.bucket = bucket
        self._clients = clients
        self._encryption: dict[str, str] = {}
        # which key an object is under can't be compared with an alias: each object says what it was put with
        self._mark = ""
        if kms_key:
            self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key}
            self._mark = hashlib.sha256(kms_key.encode()).hexdigest()[:16]
        self._owner = {"ExpectedBucketOwner": owner} if owner else {}
        self._where = {**clients.where, "bucket": bucket, "bucket_owner": owner}
        self._checked = False

    def uri(self, key: str) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{key}"

    def check(self) -> None:
        """Ask once whether the bucket is there, ours and in the clients' region.

        Raises:
            ConfigError, UserError: it is not, or S3 cannot be asked.
        """
        if self._checked:
            return
        with explained(self._where):
            region = self._clients.s3.head_bucket(Bucket=self.bucket, **self._owner).get("BucketRegion")
        # S3 itself would follow to the other region; the job could not
        if region and region != self._clients.region:
            raise wrong_region(self.bucket, region, self._clients.region)
        self._checked = True

    def has(self, upload: Upload) -> bool:
        """Whether the object is there with this size and hash, under the configured key."""
        from botocore.exceptions import ClientError

        with explained(self._where):
            try:
                found = self._clients.s3.head_object(Bucket=self.bucket, Key=upload.key, **self._owner)
            except ClientError as error:
                # 403 is also the answer for an absent object to someone who may not list; a put will tell
                if error.response.get("Error", {}).get("Code") in _ABSENT:
                    return False
                raise
        metadata = found.get("Metadata", {})
        same = found.get("ContentLength") == upload.size and metadata.get("sha256") == _digest(upload)
        return same and self._mark in ("", metadata.get("kms", ""))

    def put(self, upload: Upload) -> bool:
        """Put one object; False if it was there already.

        Raises:
            UserError: as `put_all`.
        """
        return self.put_all([upload]) == 1

    def put_all(self, uploads: Sequence[Upload], what: str | None = None) -> int:
        """Put what is not there yet, several at a time; the number of objects sent.

        Interrupted, or after an error, parts that were sent of unfinished objects are removed; whole
        objects stay, so the next call goes on from there.

        Args:
            uploads: keys that say what the content is.
            what: for the progress; None takes the first upload's.

        Raises:
            ConfigError, UserError: the bucket, the rights, the network; see `failures`.
            DataError: a file is not any more what it was when it was looked at.
        """
        if not uploads:
            return 0
        self.check()
        missing = self._missing(uploads)
        if missing:
            self._send(missing, what or uploads[0].what, len(uploads) - len(missing))
        return len(missing)

    def _missing(self, uploads: Sequence[Upload]) -> list[Upload]:
        candidates = list(uploads)
        if len(uploads) > _FEW:
            keys = [upload.key for upload in uploads]
            sizes = self.sizes(os.path.commonprefix(keys))  # noqa: RUF071  # keys are no paths
            candidates = [upload for upload in uploads if sizes.get(upload.key) == upload.size]
            if not self._mark:  # the listing says everything but the key
                there = {upload.key for upload in candidates}
                return [upload for upload in uploads if upload.key not in there]
        self._clients.s3  # noqa: B018  # made here: making a client is not for several threads
        pool = ThreadPoolExecutor(UPLOAD_THREADS, thread_name_prefix="head")
        try:
            found = pool.map(self.has, candidates)
            there = {upload.key for upload, has in zip(candidates, found, strict=True) if has}
        finally:
            pool.shutdown(cancel_futures=True)
        return [upload for upload in uploads if upload.key not in there]

    def tail(self, key: str, size: int) -> bytes:
        """The last ``size`` bytes of an object, or all of a smaller one.

        Raises:
            UserError: it cannot be read.
        """
        with explained(self._where):
            found = self._clients.s3.get_object(
                Bucket=self.bucket, Key=key, Range=f"bytes=-{size}", **self._owner
            )
            content: bytes = found["Body"].read()
        return content

    def sizes(self, prefix: str) -> dict[str, int]:
        """Every key that begins with ``prefix``, with its size, bytes.

        Raises:
            UserError: S3 cannot be asked.
        """
        with explained(self._where):
            pages = self._clients.s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, **self._owner
            )
            return {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}

    def _send(self, uploads: Sequence[Upload], what: str, skipped: int) -> None:
        client = self._clients.s3
        client.meta.events.register(
            "provide-client-params.s3.AbortMultipartUpload", self._add_owner, unique_id="sweepmaker-owner"
        )
        objects = ((_body(each), each.key, self._arguments(each)) for each in uploads)
        progress = UploadProgress(what, len(uploads), sum(each.size for each in uploads), skipped=skipped)
        with explained(self._where), progress:
            transfer(client, self.bucket, objects, progress)

    def _arguments(self, upload: Upload) -> dict[str, Any]:
        digest = _digest(upload)
        if upload.size < IN_PARTS_FROM:  # S3 compares it with what arrived
            checksum = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(digest)).decode()}
        else:
            checksum = {"ChecksumAlgorithm": "SHA256"}
        metadata = {"sha256": digest} | ({"kms": self._mark} if self._mark else {})
        return {"Metadata": metadata, **checksum, **self._encryption, **self._owner}

    def _add_owner(self, params: dict[str, Any], **event: Any) -> dict[str, Any]:
        """s3transfer's own clearing up does not pass the owner on."""
        return {**self._owner, **params}


def open_storage(clients: Clients) -> Storage:
    """The bucket that ``clients.where`` names, owned by ``where.bucket_owner`` or by the caller.

    Raises:
        ConfigError: no bucket is named.
        UserError: whose account this is cannot be asked.
    """
    where: Mapping[str, Any] = clients.where
    bucket = where.get("bucket")
    if not bucket:
        raise ConfigError(
            "is needed: the bucket for code, data and results",
            key="where.bucket",
            allowed="the name of a bucket that exists, without s3://",
            fix="where.bucket=NAME; to see the request without one: dry_run=true",
        )
    owner = where.get("bucket_owner") or identity(clients)
    return Storage(clients, str(bucket), where.get("kms_key") or None, str(owner))


def _body(upload: Upload) -> Any:
    """What s3transfer reads from: a file's name or a file in memory."""
    if isinstance(upload.source, bytes):
        return io.BytesIO(upload.source)
    try:
        size = upload.source.stat().st_size
    except OSError as error:
        raise DataError(f"cannot read {upload.source}: {error.strerror or error}") from error
    if size != upload.size:
        raise DataError(
            f"{upload.source} changed while it was being uploaded: {upload.size} bytes, now {size}",
            fix="run it again: what was uploaded stays",
        )
    return str(upload.source)


def _digest(upload: Upload) -> str:
    """SHA-256 in hex of what is uploaded."""
    if upload.sha256:
        return upload.sha256
    if isinstance(upload.source, bytes):
        return hashlib.sha256(upload.source).hexdigest()
    with upload.source.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
