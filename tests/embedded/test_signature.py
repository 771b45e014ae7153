"""Signature Version 4, against the worked examples of AWS's documentation and against botocore."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path
from hypothesis import given
from hypothesis import strategies as st

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.chunks import Chunks
from launchers.embedded.services.message import Message
from launchers.embedded.services.signature import EMPTY_HASH, UNSIGNED_PAYLOAD, Claim

# The examples' key ("Authenticating Requests", Amazon S3 API Reference), in parts: scanners look for it.
EXAMPLE = Key("AKIAIOSFODNN7" + "EXAMPLE", "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY")
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC)
SCOPE = "20130524/us-east-1/s3/aws4_request"
KEY = Key("AKIATESTTESTTESTTEST", "secret")


def message(method: str, uri: str, headers: dict[str, str], body: bytes = b"") -> Message:
    lines = tuple((name.lower(), value) for name, value in headers.items())
    path, _, query = uri.partition("?")
    return Message(method, path, query, lines, {"wsgi.input": io.BytesIO(body)})


def authorization(names: str, signature: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={EXAMPLE.access_key_id}/{SCOPE},"
        f"SignedHeaders={names},Signature={signature}"
    )


def example_get(**changed: str) -> Message:
    headers = {
        "Host": "examplebucket.s3.amazonaws.com",
        "Range": "bytes=0-9",
        "x-amz-content-sha256": EMPTY_HASH,
        "x-amz-date": "20130524T000000Z",
        "Authorization": authorization(
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    }
    return message("GET", "/test.txt", headers | changed)


def example_presigned(expires: int = 86400) -> Message:
    query = (
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={EXAMPLE.access_key_id}%2F20130524%2Fus-east-1%2Fs3"
        f"%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )
    return message("GET", f"/test.txt?{query}", {"Host": "examplebucket.s3.amazonaws.com"})


def check(
    asked: Message, key: Key = EXAMPLE, now: datetime = EXAMPLE_TIME, payload: str = EMPTY_HASH
) -> None:
    claim = Claim.of(asked)
    claim.check(asked, key, claim.payload or payload, now)


def refused(asked: Message, key: Key = EXAMPLE, now: datetime = EXAMPLE_TIME) -> str:
    with pytest.raises(ServiceError) as caught:
        check(asked, key, now)
    assert caught.value.status == 403
    return caught.value.code


def test_the_documented_header_example() -> None:
    check(example_get())


def test_the_documented_presigned_example() -> None:
    check(example_presigned())
    check(example_presigned(), now=EXAMPLE_TIME + timedelta(hours=23))


@pytest.mark.parametrize(
    "changed",
    [
        {"Range": "bytes=0-10"},
        {"Host": "other.s3.amazonaws.com"},
        {"x-amz-content-sha256": UNSIGNED_PAYLOAD},
        {"x-amz-meta-more": "not signed"},
        {"x-amz-date": "20130524T000001Z"},
    ],
)
def test_what_was_changed_on_the_way_is_refused(changed: dict[str, str]) -> None:
    assert refused(example_get(**changed)) == "SignatureDoesNotMatch"


def test_another_address_is_refused() -> None:
    right = example_get()
    for path, query in (("/test.tx", ""), ("/test.txt", "versionId=1")):
        asked = Message(right.method, path, query, right.headers, right.environ)
        assert refused(asked) == "SignatureDoesNotMatch"
    asked = Message("DELETE", right.path, right.query, right.headers, right.environ)
    assert refused(asked) == "SignatureDoesNotMatch"


def test_a_wrong_secret_and_a_wrong_key_are_refused() -> None:
    assert refused(example_get(), Key(EXAMPLE.access_key_id, "another")) == "SignatureDoesNotMatch"
    assert refused(example_get(), Key("another", EXAMPLE.secret_access_key)) == "InvalidClientTokenId"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_signature_of_another_time_is_refused(minutes: int) -> None:
    assert refused(example_get(), now=EXAMPLE_TIME + timedelta(minutes=minutes)) == "RequestExpired"
    check(example_get(), now=EXAMPLE_TIME + timedelta(minutes=minutes * 14 // 16))


def test_a_presigned_address_expires_and_cannot_be_prolonged() -> None:
    assert refused(example_presigned(), now=EXAMPLE_TIME + timedelta(seconds=86401)) == "RequestExpired"
    assert refused(example_presigned(86401)) == "SignatureDoesNotMatch"
    assert refused(example_presigned(8 * 86400)) == "MissingAuthenticationToken"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "Basic abc",
        "AWS AKIA:sig",
        "AWS4-HMAC-SHA256 nothing",
        f"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature={EMPTY_HASH}",
        "AWS4-HMAC-SHA256 Credential=a/20130524/r/s3/aws4_request, SignedHeaders=range, Signature=ab",
        "AWS4-HMAC-SHA256 Credential=a/20130524/r/s3/aws4_request, SignedHeaders=host, Signature=",
    ],
)
def test_other_words_are_no_signature(words: str) -> None:
    assert refused(example_get(Authorization=words)) == "MissingAuthenticationToken"


def chunked(second: bytes = b"a" * 1024) -> bytes:
    """The body of the documented example: 65 KiB in two chunks."""
    signatures = (
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    )
    return b"".join(
        f"{len(data):x};chunk-signature={signature}\r\n".encode() + data + b"\r\n"
        for data, signature in zip((b"a" * 65536, second, b""), signatures, strict=True)
    )


def example_chunks(body: bytes) -> Chunks:
    payload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
    names = (
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
        "x-amz-decoded-content-length;x-amz-storage-class"
    )
    headers = {
        "Host": "s3.amazonaws.com",
        "x-amz-date": "20130524T000000Z",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "Authorization": authorization(
            names, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
        ),
        "x-amz-content-sha256": payload,
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": "66560",
        "Content-Length": "66824",
    }
    asked = message("PUT", "/examplebucket/chunkObject.txt", headers, body)
    check(asked)
    return Chunks(asked.body, Claim.of(asked), EXAMPLE)


def test_the_documented_chunks() -> None:
    assert b"".join(example_chunks(chunked())) == b"a" * 66560


def test_a_changed_chunk_is_refused() -> None:
    with pytest.raises(ServiceError, match="not signed right"):
        list(example_chunks(chunked(b"a" * 1023 + b"b")))


@pytest.mark.parametrize("cut", [1, 80, 90, 66000, 66700])
def test_chunks_that_end_early_are_refused(cut: int) -> None:
    with pytest.raises(ServiceError):
        list(example_chunks(chunked()[:cut]))


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
SIGNERS: dict[str, Any] = {"s3": S3SigV4Auth, "presigned": S3SigV4QueryAuth, "logs": SigV4Auth}


@pytest.mark.parametrize("kind", SIGNERS)
@given(key=TEXT, pairs=st.dictionaries(TEXT, TEXT, max_size=3), value=st.text(" ab", max_size=5))
def test_botocore_is_understood(kind: str, key: str, pairs: dict[str, str], value: str) -> None:
    if kind == "presigned":  # that signer writes the query anew
        pairs = {}
    path = quote(f"/bucket/{key}", safe="/~")
    query = urlencode(pairs, quote_via=quote, safe="-_.~")
    url = f"http://127.0.0.1:1{path}" + (f"?{query}" if query else "")
    request = AWSRequest("GET", url, {"x-amz-meta-a": f"a {value}"} if kind != "presigned" else {}, b"")
    extra = {"expires": 60} if kind == "presigned" else {}
    credentials = Credentials(KEY.access_key_id, KEY.secret_access_key)
    service = "logs" if kind == "logs" else "s3"
    if kind == "logs" and normalize_url_path(path) != path:
        return  # dots and empty parts, which no such service has
    SIGNERS[kind](credentials, service, "us-east-1", **extra).add_auth(request)
    prepared = request.prepare()
    sent = prepared.url.removeprefix("http://127.0.0.1:1")
    headers = {
        name: value.decode("latin-1") if isinstance(value, bytes) else value
        for name, value in prepared.headers.items()
    }
    asked = message("GET", sent, {"Host": "127.0.0.1:1"} | headers)
    check(asked, KEY, datetime.now(UTC))
    other = Message("GET", asked.path + "x", asked.query, asked.headers, asked.environ)
    assert refused(other, KEY, datetime.now(UTC)) == "SignatureDoesNotMatch"
