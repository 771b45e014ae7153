"""A server of all services over a real socket, and clients of it."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import botocore.auth
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from launchers.embedded.errors import ServiceError
from launchers.embedded.key import Key
from launchers.embedded.services.app import Answer, Invoke, Services
from launchers.embedded.services.server import Server

Call = Callable[[str, dict[str, Any]], dict[str, Any]]


BIG = b"".join(hashlib.sha256(bytes([n % 256, n // 256 % 256, n >> 16])).digest() for n in range(20 << 15))


SMALL_PARTS = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=4)


def no_endpoints(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    raise ServiceError("ValidationError", f"no endpoints here ({path})")


def echo(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"operation": operation, **body}


@dataclass
class Running:
    """Services at work, and how they are reached."""

    services: Services
    server: Server
    key: Key

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def client(self, service: str, key: Key | None = None, **config: Any) -> Any:
        """A client that asks once and never again."""
        key = key or self.key
        return boto3.session.Session().client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                s3={"addressing_style": "path"},
                proxies={},
                connect_timeout=5,
                read_timeout=20,
                **config,
            ),
        )


@contextmanager
def serving(folder: Path, call: Call = echo, invoke: Invoke = no_endpoints) -> Iterator[Running]:
    """The services of the root ``folder``, until the end of the block."""
    folder.mkdir(exist_ok=True)
    key = Key.of_root(folder / "key.json")
    services = Services(folder / "s3", key, call, invoke)
    server = Server(services, 0)
    server.start()
    try:
        yield Running(services, server, key)
    finally:
        server.stop()
        services.close()


def patient(running: Running, service: str, mode: str) -> Any:
    """A client that would try five times."""
    return boto3.session.Session().client(
        service,
        endpoint_url=running.url,
        region_name="us-east-1",
        aws_access_key_id=running.key.access_key_id,
        aws_secret_access_key=running.key.secret_access_key,
        config=Config(retries={"max_attempts": 5, "mode": mode}),
    )


def refusal(call: Any, **arguments: Any) -> tuple[int, str]:
    """Status and code of what a client was refused with, at the first try."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    about = caught.value.response["ResponseMetadata"]
    assert about["RetryAttempts"] == 0
    return about["HTTPStatusCode"], caught.value.response["Error"]["Code"]


def code_of(call: Any, **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def body_of(s3: Any, key: str, **more: Any) -> bytes:
    data: bytes = s3.get_object(Bucket="bucket", Key=key, **more)["Body"].read()
    return data


def files(running: Running) -> set[Path]:
    """All files that hold contents."""
    folder = running.services.store.list("bucket", "")[0][2].parents[2]
    return {path for name in ("objects", "incoming") for path in (folder / name).rglob("*") if path.is_file()}


def raw(
    running: Running, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, bytes]:
    """Status and body that a request gets just as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        answered = connection.getresponse()
        return answered.status, answered.read()
    finally:
        connection.close()


def signed(
    running: Running, service: str, body: bytes, headers: dict[str, str], path: str = "/"
) -> tuple[int, bytes]:
    """What a POST gets that is signed for ``service``."""
    request = AWSRequest("POST", f"{running.url}{path}", headers, body)
    credentials = Credentials(running.key.access_key_id, running.key.secret_access_key)
    botocore.auth.SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    sent = {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in request.prepare().headers.items()
    }
    return raw(running, "POST", path, sent, body)


def opened(url: str, body: bytes | None = None, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Status and body of an address, by any means but boto3."""
    request = urllib.request.Request(url, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answered:
            return answered.status, answered.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def presigned(running: Running, seconds: int = 60, method: str = "get_object", key: str = "key") -> str:
    """An address that works for ``seconds``; with 0 it has just expired."""
    signer = running.client("s3", signature_version="s3v4")
    if seconds > 0:
        return str(signer.generate_presigned_url(method, {"Bucket": "bucket", "Key": key}, ExpiresIn=seconds))
    now = botocore.auth.get_current_datetime() - timedelta(seconds=60 - seconds)
    with mock.patch("botocore.auth.get_current_datetime", return_value=now):
        return str(signer.generate_presigned_url(method, {"Bucket": "bucket", "Key": key}, ExpiresIn=60))
