"""Objects go once, encrypted as configured, to the expected owner; nothing half-finished stays."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from launchers.aws import transfer
from launchers.aws.clients import Clients, connect
from launchers.aws.storage import Storage, Upload, open_storage
from sweepmaker.config.errors import ConfigError, DataError, UserError
from sweepmaker.run import interrupt
from tests.jobs.aws import ACCOUNT, BUCKET, Calls, objects


def in_memory(key: str, content: bytes = b"content") -> Upload:
    return Upload(key, content, len(content), "test objects", hashlib.sha256(content).hexdigest())


@pytest.fixture
def storage(clients: Clients) -> Storage:
    return open_storage(clients)


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects from 6 MB on go in parts of 5 MB, the least that S3 takes."""
    monkeypatch.setattr(transfer, "IN_PARTS_FROM", 6_000_000)
    monkeypatch.setattr("launchers.aws.storage.IN_PARTS_FROM", 6_000_000)
    monkeypatch.setattr(transfer, "_PART", 5 << 20)


@pytest.fixture
def signals_as_found() -> Iterator[None]:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in handlers.items():
        signal.signal(number, handler)
    interrupt._state.requested = None


def test_an_object_is_sent_once(storage: Storage, clients: Clients) -> None:
    assert storage.put(in_memory("code/abc/sourcedir.tar.gz"))
    assert not storage.put(in_memory("code/abc/sourcedir.tar.gz"))
    found = clients.s3.get_object(Bucket=BUCKET, Key="code/abc/sourcedir.tar.gz")
    assert found["Body"].read() == b"content"
    assert storage.uri("code/abc") == f"s3://{BUCKET}/code/abc"


@pytest.mark.parametrize("other", [b"longer content", b"CONTENT"], ids=["size", "hash"])
def test_other_content_under_the_key_is_replaced(storage: Storage, clients: Clients, other: bytes) -> None:
    storage.put(in_memory("key", other))
    assert storage.put(in_memory("key"))
    assert clients.s3.get_object(Bucket=BUCKET, Key="key")["Body"].read() == b"content"


def test_an_object_that_someone_else_put_is_replaced(storage: Storage, clients: Clients) -> None:
    clients.s3.put_object(Bucket=BUCKET, Key="key", Body=b"content")  # the size alone says little
    assert storage.put(in_memory("key"))


def test_a_hash_that_is_not_given_is_computed(storage: Storage, clients: Clients, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"content")
    assert storage.put(Upload("file", file, 7, "a file"))
    assert storage.put(Upload("bytes", b"content", 7, "bytes"))
    for key in ("file", "bytes"):
        metadata = clients.s3.head_object(Bucket=BUCKET, Key=key)["Metadata"]
        assert metadata["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert not storage.put(Upload("file", file, 7, "a file"))


def test_every_call_names_the_owner_and_puts_are_encrypted(
    clients: Clients, tmp_path: Path, in_parts: None
) -> None:
    clients.where["kms_key"] = "alias/sweeps"
    storage, calls = open_storage(clients), Calls(clients)
    large = tmp_path / "large.bin"
    large.write_bytes(os.urandom(6_500_000))
    storage.put_all([in_memory("small"), Upload("large", large, 6_500_000, "large")])
    made = {name for name, _ in calls.made}
    assert made >= {
        "PutObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "HeadObject",
    }
    for name, params in calls.made:
        assert params.get("ExpectedBucketOwner") == ACCOUNT, name
        if name in ("PutObject", "CreateMultipartUpload"):
            assert params["ServerSideEncryption"] == "aws:kms"
            assert params["SSEKMSKeyId"] == "alias/sweeps"
            assert "ChecksumSHA256" in params or params["ChecksumAlgorithm"] == "SHA256"
    assert objects(clients) == {"small": 7, "large": 6_500_000}
    assert clients.s3.get_object(Bucket=BUCKET, Key="large")["Body"].read() == large.read_bytes()


def test_a_key_set_later_encrypts_what_is_there(clients: Clients) -> None:
    many = [in_memory(f"data/{number}") for number in range(25)]
    assert open_storage(clients).put_all(many) == 25
    clients.where["kms_key"] = "alias/sweeps"
    assert open_storage(clients).put_all(many) == 25
    assert open_storage(clients).put_all(many) == 0
    assert clients.s3.head_object(Bucket=BUCKET, Key="data/0")["SSEKMSKeyId"] == "alias/sweeps"
    clients.where["kms_key"] = None  # nobody asked to take the encryption away
    assert open_storage(clients).put_all(many) == 0


def test_the_owner_is_the_caller_unless_set(where: dict[str, Any]) -> None:
    assert open_storage(connect(where | {"bucket_owner": None}))._owner == {"ExpectedBucketOwner": ACCOUNT}
    other = connect(where | {"bucket_owner": "000011112222"})
    assert open_storage(other)._owner == {"ExpectedBucketOwner": "000011112222"}


def test_many_objects_are_listed_not_asked_for(storage: Storage, clients: Clients) -> None:
    many = [in_memory(f"data/fp/{number}", b"%d" % number) for number in range(40)]
    storage.put_all(many[:15])
    calls = Calls(clients)
    assert storage.put_all(many) == 25
    assert storage.put_all(many) == 0
    assert (calls.count("HeadObject"), calls.count("ListObjectsV2"), calls.count("PutObject")) == (0, 2, 25)
    assert len(objects(clients)) == 40
    assert storage.put_all([]) == 0


def test_odd_keys_arrive_as_they_are(storage: Storage, clients: Clients) -> None:
    keys = [
        f"d/{name}.jpg" for name in ("a b", "é+&=?", "100%", "#1", "ß~'\"", "日本", "x\\udcff", "a;b,c:d@e")
    ]
    many = [in_memory(key) for key in keys] + [in_memory(f"d/{number}") for number in range(20)]
    assert storage.put_all(many) == len(many)
    assert objects(clients).keys() == {upload.key for upload in many}
    assert storage.put_all(many) == 0


# --- refusals


def test_no_bucket_is_ever_created(where: dict[str, Any]) -> None:
    clients = connect(where | {"bucket": "not-there"})
    with pytest.raises(ConfigError, match="there is no bucket 'not-there'"):
        open_storage(clients).put(in_memory("key"))
    assert [bucket["Name"] for bucket in clients.s3.list_buckets()["Buckets"]] == [BUCKET]
    with pytest.raises(ConfigError, match=r"(?s)where.bucket: is needed.*dry_run=true"):
        open_storage(connect(where | {"bucket": None}))


def test_a_bucket_in_another_region_is_refused_before_an_upload(where: dict[str, Any]) -> None:
    clients = connect(where | {"region": "eu-west-1"})
    with pytest.raises(ConfigError, match=r"(?s)is in us-east-1.*run in eu-west-1.*where.region=us-east-1"):
        open_storage(clients).put(in_memory("key"))
    assert objects(clients) == {}


def test_an_object_that_may_not_be_looked_at_is_put(
    storage: Storage, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> Any:
        raise ClientError(
            {"Error": {"Code": "403"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "HeadObject"
        )

    monkeypatch.setattr(clients.s3, "head_object", refuse)
    assert storage.put(in_memory("key"))


def test_a_file_that_changed_is_not_sent(storage: Storage, clients: Clients, tmp_path: Path) -> None:
    file = tmp_path / "image.jpg"
    file.write_bytes(b"more than there was")
    with pytest.raises(DataError, match="changed while"):
        storage.put(Upload("key", file, 7, "images"))
    file.unlink()
    with pytest.raises(DataError, match="cannot read"):
        storage.put(Upload("key", file, 7, "images", sha256="00" * 32))
    assert objects(clients) == {}


# --- errors and Ctrl-C on the way


def failing_parts(clients: Clients, then: Any) -> None:
    """The second part of any object does ``then`` instead of going over."""

    def before(params: dict[str, Any], **event: Any) -> None:
        if params["PartNumber"] == 2:
            then()

    clients.s3.meta.events.register("before-parameter-build.s3.UploadPart", before)


def test_an_error_leaves_no_parts_and_is_explained(
    storage: Storage, clients: Clients, in_parts: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
        raise ClientError(answer, "UploadPart")  # type: ignore[arg-type]

    calls = Calls(clients)
    failing_parts(clients, fail)
    with pytest.raises(UserError, match="slow down"):
        storage.put(Upload("large", os.urandom(6_500_000), 6_500_000, "large"))
    assert calls.count("AbortMultipartUpload") == 1
    assert all(params["ExpectedBucketOwner"] == ACCOUNT for _, params in calls.made)
    assert "Uploads" not in clients.s3.list_multipart_uploads(Bucket=BUCKET)
    assert objects(clients) == {}
    assert "ended early (0 of 1 files done)" in capsys.readouterr().err


@pytest.mark.usefixtures("signals_as_found")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_parts_and_the_next_call_goes_on(
    storage: Storage, clients: Clients, in_parts: None, signum: int
) -> None:
    interrupt.install()
    reached, release = threading.Event(), threading.Event()

    def stop() -> None:
        if not reached.is_set():
            reached.set()
            os.kill(os.getpid(), signum)
            release.wait(5)  # until the main thread has raised

    failing_parts(clients, stop)
    uploads = [in_memory("small"), Upload("large", os.urandom(6_500_000), 6_500_000, "large")]
    threading.Thread(target=lambda: (reached.wait(10), release.wait(0.2), release.set())).start()
    with pytest.raises(interrupt.Interrupted):
        storage.put_all(uploads)
    assert "Uploads" not in clients.s3.list_multipart_uploads(Bucket=BUCKET)
    assert "large" not in objects(clients)
    interrupt._state.requested = None
    there = len(objects(clients))
    assert storage.put_all(uploads) == 2 - there
    assert objects(clients).keys() == {"small", "large"}
