"""S3 whose objects are files, as clients see it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.embedded.serving import (
    BIG,
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


def test_an_object_comes_back_as_it_was_put(running: Running) -> None:
    s3 = running.client("s3")
    put = s3.put_object(
        Bucket="bucket",
        Key="a/b.json",
        Body=b"{}",
        ContentType="application/json",
        ContentEncoding="identity",
        Metadata={"with_underscore": "1", "with-dash": "2"},
        Tagging="stage=one&x=y",
    )
    assert put["ETag"] == f'"{hashlib.md5(b"{}").hexdigest()}"'
    found = s3.get_object(Bucket="bucket", Key="a/b.json")
    head = s3.head_object(Bucket="bucket", Key="a/b.json")
    assert found["Body"].read() == b"{}"
    for answer in (found, head):
        assert answer["ETag"] == put["ETag"]
        assert answer["ContentLength"] == 2
        assert (answer["ContentType"], answer["ContentEncoding"]) == ("application/json", "identity")
        assert answer["Metadata"] == {"with_underscore": "1", "with-dash": "2"}
        assert abs((datetime.now(UTC) - answer["LastModified"]).total_seconds()) < 60
    tags = s3.get_object_tagging(Bucket="bucket", Key="a/b.json")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"stage": "one", "x": "y"}


def test_replacing_and_deleting_leave_no_file_behind(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="keep", Body=b"keep")
    before = files(running)
    s3.put_object(Bucket="bucket", Key="gone", Body=b"one", Tagging="a=b")
    s3.put_object(Bucket="bucket", Key="gone", Body=b"two")
    assert body_of(s3, "gone") == b"two"
    assert s3.get_object_tagging(Bucket="bucket", Key="gone")["TagSet"] == []
    assert len(files(running)) == len(before) + 1
    s3.delete_object(Bucket="bucket", Key="gone")
    s3.delete_object(Bucket="bucket", Key="gone")
    assert code_of(s3.get_object, Bucket="bucket", Key="gone") == "NoSuchKey"
    assert code_of(s3.head_object, Bucket="bucket", Key="gone") == "404"
    assert files(running) == before


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-0", 206, b"0"),
        ("bytes=2-4", 206, b"234"),
        ("bytes=7-", 206, b"789"),
        ("bytes=-3", 206, b"789"),
        ("bytes=-99", 206, b"0123456789"),
        ("bytes=5-99", 206, b"56789"),
        ("bytes=4-2", 200, b"0123456789"),
        ("lines=1-2", 200, b"0123456789"),
        ("bytes=0-1,3-4", 200, b"0123456789"),
    ],
)
def test_parts_of_an_object(running: Running, asked: str, status: int, expected: bytes) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="digits", Body=b"0123456789")
    found = s3.get_object(Bucket="bucket", Key="digits", Range=asked)
    assert found["ResponseMetadata"]["HTTPStatusCode"] == status
    assert found["Body"].read() == expected
    assert found["ContentLength"] == len(expected)


def test_a_part_that_is_not_there(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="digits", Body=b"0123456789")
    s3.put_object(Bucket="bucket", Key="empty", Body=b"")
    assert body_of(s3, "empty") == b""
    assert code_of(s3.get_object, Bucket="bucket", Key="digits", Range="bytes=10-") == "InvalidRange"
    assert code_of(s3.get_object, Bucket="bucket", Key="empty", Range="bytes=0-1") == "InvalidRange"


def test_conditions(running: Running) -> None:
    s3 = running.client("s3")
    etag = s3.put_object(Bucket="bucket", Key="c", Body=b"c")["ETag"]
    assert body_of(s3, "c", IfMatch=etag) == b"c"
    assert code_of(s3.get_object, Bucket="bucket", Key="c", IfNoneMatch=etag) == "304"
    assert code_of(s3.get_object, Bucket="bucket", Key="c", IfMatch='"no"') == "PreconditionFailed"


def test_listing(running: Running) -> None:
    s3 = running.client("s3")
    s3.create_bucket(Bucket="listed")
    for name in ("a/1", "a/2", "a/b/3", "c"):
        s3.put_object(Bucket="listed", Key=name, Body=name.encode())
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket="listed", Prefix="a/", PaginationConfig={"PageSize": 1}
    )
    assert [o["Key"] for page in pages for o in page["Contents"]] == ["a/1", "a/2", "a/b/3"]
    page = s3.list_objects_v2(Bucket="listed", Prefix="a/", Delimiter="/")
    assert [o["Key"] for o in page["Contents"]] == ["a/1", "a/2"]
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/b/"]
    assert [o["Key"] for o in s3.list_objects(Bucket="listed")["Contents"]] == ["a/1", "a/2", "a/b/3", "c"]
    gone = s3.delete_objects(Bucket="listed", Delete={"Objects": [{"Key": "a/1"}, {"Key": "c"}]})
    assert sorted(o["Key"] for o in gone["Deleted"]) == ["a/1", "c"]
    assert [key for key, _, _ in running.services.store.list("listed", "")] == ["a/2", "a/b/3"]
    assert code_of(s3.delete_bucket, Bucket="listed") == "BucketNotEmpty"


def test_a_copy_is_no_second_file(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="from", Body=b"same", Metadata={"m": "1"}, Tagging="t=u")
    source = {"Bucket": "bucket", "Key": "from"}
    assert s3.copy_object(Bucket="bucket", Key="to", CopySource=source)["CopyObjectResult"]["ETag"]
    listed = {key: path for key, _, path in running.services.store.list("bucket", "")}
    assert listed["from"] == listed["to"]
    s3.delete_object(Bucket="bucket", Key="from")
    assert body_of(s3, "to") == b"same"
    assert s3.head_object(Bucket="bucket", Key="to")["Metadata"] == {"m": "1"}
    s3.copy_object(
        Bucket="bucket",
        Key="to",
        CopySource={"Bucket": "bucket", "Key": "to"},
        MetadataDirective="REPLACE",
        Metadata={"m": "2"},
    )
    assert s3.head_object(Bucket="bucket", Key="to")["Metadata"] == {"m": "2"}
    assert body_of(s3, "to") == b"same"
    s3.delete_object(Bucket="bucket", Key="to")
    assert not listed["to"].exists()
    assert code_of(s3.copy_object, Bucket="bucket", Key="x", CopySource=source) == "NoSuchKey"


def test_versions_are_kept(running: Running) -> None:
    s3 = running.client("s3")
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket="versioned", Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket="versioned", Key="k", Body=b"2")
    s3.delete_object(Bucket="versioned", Key="k")
    assert code_of(s3.get_object, Bucket="versioned", Key="k") == "NoSuchKey"
    assert running.services.store.list("versioned", "") == []
    found = s3.get_object(Bucket="versioned", Key="k", VersionId=first)
    assert found["Body"].read() == b"1"
    listed = s3.list_object_versions(Bucket="versioned")
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (2, 1)


def test_an_object_is_read_to_its_end_though_it_is_replaced(running: Running) -> None:
    s3 = running.client("s3")
    s3.put_object(Bucket="bucket", Key="read", Body=BIG)
    body = s3.get_object(Bucket="bucket", Key="read")["Body"]
    start = body.read(1000)
    running.client("s3").put_object(Bucket="bucket", Key="read", Body=b"new")
    assert start + body.read() == BIG


PART = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=6)


ODD = st.sampled_from(
    [
        " ",
        "+",
        "%",
        "%2F",
        "%25",
        "..",
        ".",
        "",
        "/",
        "a",
        "ä",
        "\u2028",
        "?",
        "#",
        "&",
        ";",
        "=",
        "\\",
        "~",
        "*",
        "'",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.lists(PART | ODD, min_size=1, max_size=6).map("/".join) | st.lists(ODD, min_size=1).map("".join))
def test_any_key_comes_back_and_stays_in_the_folder(running: Running, key: str) -> None:
    if not key or len(key.encode()) > 1024:
        return
    s3, data = running.client("s3"), key.encode()
    s3.put_object(Bucket="bucket", Key=key, Body=data)
    assert body_of(s3, key) == data
    page = s3.list_objects_v2(Bucket="bucket", Prefix=key)
    assert key in [o["Key"] for o in page["Contents"]]
    [path] = [path for name, _, path in running.services.store.list("bucket", key) if name == key]
    assert path.read_bytes() == data
    assert ".." not in path.parts
    s3.copy_object(Bucket="bucket", Key="copy", CopySource={"Bucket": "bucket", "Key": key})
    assert body_of(s3, "copy") == data
    s3.delete_object(Bucket="bucket", Key=key)
    assert code_of(s3.get_object, Bucket="bucket", Key=key) == "NoSuchKey"
