"""S3's uploads: in parts, in chunks, with checksums, and those that are refused."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum

from tests.embedded.serving import (
    BIG,
    SMALL_PARTS,
    Running,
    body_of,
    code_of,
    files,
    serving,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("root")) as found:
        found.client("s3").create_bucket(Bucket="bucket")
        found.client("s3").put_object(Bucket="bucket", Key="key", Body=b"contents")
        yield found


def test_refused_uploads_leave_no_file_behind(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="keep", Body=b"keep")
    before = files(running)
    assert code_of(s3.put_object, Bucket="no-such-bucket", Key="k", Body=b"x") == "NoSuchBucket"
    assert code_of(s3.put_object, Bucket="bucket", Key="k", Body=b"x", ContentMD5="AAAA") == "BadDigest"
    for name in ("ChecksumCRC32", "ChecksumSHA1", "ChecksumSHA256"):
        assert code_of(s3.put_object, Bucket="bucket", Key="k", Body=b"x", **{name: "AAAA"}) == "BadDigest"
    assert (
        code_of(s3.put_object, Bucket="bucket", Key="keep", Body=b"x", IfNoneMatch="*")
        == "PreconditionFailed"
    )
    assert files(running) == before


@pytest.mark.parametrize("kind", ["CRC32", "SHA1", "SHA256"])
def test_checksums_are_kept(running: Running, kind: str) -> None:
    s3 = running.client("s3")
    put = s3.put_object(Bucket="bucket", Key="sum", Body=b"abc", ChecksumAlgorithm=kind)
    found = s3.get_object(Bucket="bucket", Key="sum", ChecksumMode="ENABLED")
    assert found[f"Checksum{kind}"] == put[f"Checksum{kind}"]
    assert found["Body"].read() == b"abc"


def test_large_uploads_go_in_parts_and_come_back_by_pieces(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="keep", Body=b"keep")
    before = files(running)
    s3.upload_fileobj(
        io.BytesIO(BIG), "bucket", "big", Config=SMALL_PARTS, ExtraArgs={"Metadata": {"m": "1"}}
    )
    head = s3.head_object(Bucket="bucket", Key="big")
    assert head["ContentLength"] == len(BIG)
    assert head["ETag"].endswith('-4"')
    assert head["Metadata"] == {"m": "1"}
    target = io.BytesIO()
    s3.download_fileobj("bucket", "big", target, Config=SMALL_PARTS)
    assert target.getvalue() == BIG
    whole = hashlib.sha256()
    for piece in s3.get_object(Bucket="bucket", Key="big")["Body"].iter_chunks(1 << 16):
        whole.update(piece)
    assert whole.digest() == hashlib.sha256(BIG).digest()
    assert len(files(running) - before) == 1  # no part is left


def test_parts_can_be_replaced_copied_and_given_up(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="source", Body=BIG)
    before = files(running)
    upload = {"Bucket": "bucket", "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    s3.upload_part(**upload, PartNumber=1, Body=b"first try")
    source = {"Bucket": "bucket", "Key": "source"}
    copied = s3.upload_part_copy(
        **upload, PartNumber=1, CopySource=source, CopySourceRange=f"bytes=1-{6 << 20}"
    )["CopyPartResult"]
    last = s3.upload_part(**upload, PartNumber=3, Body=b"the end")
    assert [part["PartNumber"] for part in s3.list_parts(**upload)["Parts"]] == [1, 3]
    parts = [{"PartNumber": 1, "ETag": copied["ETag"]}, {"PartNumber": 3, "ETag": last["ETag"]}]
    wrong = [{"PartNumber": 1, "ETag": last["ETag"]}]
    assert code_of(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": wrong}) == "InvalidPart"
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert body_of(s3, "parts") == BIG[1 : (6 << 20) + 1] + b"the end"
    s3.delete_object(Bucket="bucket", Key="parts")
    upload["UploadId"] = s3.create_multipart_upload(Bucket="bucket", Key="parts")["UploadId"]
    s3.upload_part(**upload, PartNumber=1, Body=b"never finished")
    s3.abort_multipart_upload(**upload)
    assert code_of(s3.upload_part, **upload, PartNumber=2, Body=b"x") == "NoSuchUpload"
    assert files(running) == before


def test_bodies_in_chunks_with_a_trailer(running: Running) -> None:
    """As the SDKs send them where they do not know the length, or over TLS."""
    s3 = running.client("s3", signature_version="s3v4")

    def chunk(request: Any, **_: Any) -> None:
        request.headers["x-amz-content-sha256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        request.headers["x-amz-trailer"] = "x-amz-checksum-crc32"
        request.headers["x-amz-decoded-content-length"] = str(len(BIG))
        request.headers["Content-Encoding"] = "aws-chunked"
        del request.headers["x-amz-checksum-crc32"]
        request.data = AwsChunkedWrapper(
            io.BytesIO(BIG), checksum_cls=Crc32Checksum, checksum_name="x-amz-checksum-crc32"
        )

    s3.meta.events.register_first("before-sign.s3.PutObject", chunk)
    with mock.patch("botocore.auth.S3SigV4Auth.payload", lambda *_: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        s3.put_object(Bucket="bucket", Key="chunked", Body=io.BytesIO(BIG))
    found = running.client("s3").get_object(Bucket="bucket", Key="chunked", ChecksumMode="ENABLED")
    assert found["Body"].read() == BIG
    assert "aws-chunked" not in found.get("ContentEncoding", "")
    assert found["ChecksumCRC32"]
