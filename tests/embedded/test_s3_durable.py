"""What was acknowledged is there, whatever becomes of the server; what is in S3 is files."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.s3 import models

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


def test_the_server_sees_what_clients_put_and_they_what_it_put(running: Running, tmp_path: Path) -> None:
    s3, store = running.client("s3"), running.services.store
    path = tmp_path / "file"
    path.write_bytes(b"before")
    store.put_file("made-for-it", "dir/file", path)
    path.write_bytes(b"after!")
    found = s3.get_object(Bucket="made-for-it", Key="dir/file")
    assert found["Body"].read() == b"before"
    assert found["ETag"] == f'"{hashlib.md5(b"before").hexdigest()}"'
    store.put_file("made-for-it", "dir/moved", path, move=True)
    assert not path.exists()
    s3.put_object(Bucket="made-for-it", Key="dir-not", Body=b"x")
    s3.put_object(Bucket="made-for-it", Key="dir/client", Body=b"client")
    listed = store.list("made-for-it", "dir/")
    assert [(key, size) for key, size, _ in listed] == [("dir/client", 6), ("dir/file", 6), ("dir/moved", 6)]
    assert [file.read_bytes() for _, _, file in listed] == [b"client", b"before", b"after!"]
    (tmp_path / "link").hardlink_to(listed[0][2])
    s3.put_object(Bucket="made-for-it", Key="dir/client", Body=b"other")
    assert (tmp_path / "link").read_bytes() == b"client"
    store.delete("made-for-it", "dir/file")
    store.delete("made-for-it", "never there")
    store.delete("no-bucket", "never there")
    assert code_of(s3.get_object, Bucket="made-for-it", Key="dir/file") == "NoSuchKey"
    store.ensure_bucket("made-for-it")
    assert store.list("no-bucket", "") == []
    with pytest.raises(FileNotFoundError):
        store.put_file("made-for-it", "none", tmp_path / "none")


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        s3 = found.client("s3")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_tagging(Bucket="bucket", Tagging={"TagSet": [{"Key": "t", "Value": "u"}]})
        s3.create_bucket(Bucket="deleted")
        s3.delete_bucket(Bucket="deleted")
        s3.create_bucket(Bucket="versioned")
        s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
        for text in (b"1", b"2"):
            s3.put_object(Bucket="versioned", Key="k", Body=text)
        s3.delete_object(Bucket="versioned", Key="k")
        s3.put_object(
            Bucket="bucket", Key="ä +", Body=b"x", Metadata={"m_n": "1"}, ContentType="text/x", Tagging="a=b"
        )
        s3.upload_fileobj(io.BytesIO(BIG), "bucket", "big", Config=SMALL_PARTS)
        before = state(s3)
        upload = s3.create_multipart_upload(Bucket="bucket", Key="unfinished")["UploadId"]
        s3.upload_part(Bucket="bucket", Key="unfinished", UploadId=upload, PartNumber=1, Body=b"x")
        kept = files(found)
        (tmp_path / "s3/objects/zz").mkdir()
        (tmp_path / "s3/objects/zz/orphan").write_bytes(b"left by a kill")
    with serving(tmp_path) as found:
        s3 = found.client("s3")
        assert state(s3) == before
        assert body_of(s3, "big") == BIG
        assert files(found) < kept
        assert len(files(found)) == 4
        s3.put_object(Bucket="bucket", Key="ä +", Body=b"y")
        assert body_of(s3, "ä +") == b"y"


def state(s3: Any) -> list[Any]:
    """What a client can see."""
    heads = [s3.head_object(Bucket="bucket", Key=key, ChecksumMode="ENABLED") for key in ("ä +", "big")]
    for head in heads:
        del head["ResponseMetadata"]
    versions = s3.list_object_versions(Bucket="versioned")
    return [
        *heads,
        s3.get_object_tagging(Bucket="bucket", Key="ä +")["TagSet"],
        s3.get_bucket_tagging(Bucket="bucket")["TagSet"],
        [(b["Name"], b["CreationDate"].replace(microsecond=0)) for b in s3.list_buckets()["Buckets"]],
        s3.get_bucket_versioning(Bucket="versioned")["Status"],
        [(v["VersionId"], v["ETag"], v["IsLatest"]) for v in versions["Versions"]],
        [(v["VersionId"], v["IsLatest"]) for v in versions["DeleteMarkers"]],
    ]


def test_two_roots_in_one_process_do_not_mix(tmp_path: Path) -> None:
    with serving(tmp_path / "one") as one, serving(tmp_path / "two") as two:
        one.client("s3").create_bucket(Bucket="same")
        two.client("s3").create_bucket(Bucket="same")
        one.client("s3").put_object(Bucket="same", Key="k", Body=b"1")
        assert code_of(two.client("s3").get_object, Bucket="same", Key="k") == "NoSuchKey"
        assert [b["Name"] for b in two.client("s3").list_buckets()["Buckets"]] == ["same"]


def test_moto_is_what_this_was_written_for() -> None:
    """The parts of moto that are taken over; a newer moto may have moved them."""
    for name in ("put_object", "get_object", "delete_object", "upload_part", "upload_part_copy"):
        assert name in vars(models.S3Backend)
    key = models.FakeKey("k", b"", "123456789012", "us-east-1")
    assert {"_value_buffer", "_etag", "contentsize", "last_modified", "_metadata", "_version_id"} <= vars(
        key
    ).keys()
    assert isinstance(vars(models.FakeKey)["value"], property)
    key.dispose()


SERVER = """
import sys, time
from pathlib import Path
from tests.embedded.serving import serving
with serving(Path(sys.argv[1])) as found:
    print(found.server.port, flush=True)
    time.sleep(600)
"""


def contents(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest() * (1 + number * 7919 % 40_000)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.05, 0.2, 0.6])
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, after: float) -> None:
    with serving(tmp_path) as found:
        found.client("s3").create_bucket(Bucket="bucket")
        client = found.client
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "."])}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        found.server.port = int(process.stdout.readline())
        acknowledged: set[int] = set()

        def put(start: int) -> None:
            s3 = client("s3")
            for number in range(start, 100_000, 3):
                try:
                    s3.put_object(Bucket="bucket", Key=f"k/{number % 50}/{number}", Body=contents(number))
                except Exception:
                    return
                acknowledged.add(number)

        threads = [threading.Thread(target=put, args=(start,)) for start in range(3)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 20
        while not acknowledged and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
    assert acknowledged
    with serving(tmp_path) as found:
        s3 = found.client("s3")
        listed = {key: path for key, _, path in found.services.store.list("bucket", "k/")}
        for key, path in listed.items():  # acknowledged or not, nothing is half there
            assert path.read_bytes() == contents(int(key.rpartition("/")[2]))
        missing = {number for number in acknowledged if f"k/{number % 50}/{number}" not in listed}
        assert not missing
        assert body_of(s3, max(listed)) == listed[max(listed)].read_bytes()
        assert files(found) == set(listed.values())
