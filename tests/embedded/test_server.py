"""The HTTP server: connections, bodies, the port, and whether anything goes on."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.embedded.serving import (
    Running,
    serving,
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("root")) as found:
        found.client("s3").create_bucket(Bucket="bucket")
        found.client("s3").put_object(Bucket="bucket", Key="key", Body=b"contents")
        yield found


def test_a_connection_is_kept_and_refusals_do_not_break_it(running: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", running.server.port, timeout=10)
    try:
        for body in (b"", b"x" * 1_000_000, b"x"):
            connection.request("PUT", "/bucket/key", body)
            with connection.getresponse() as answered:
                assert (answered.status, answered.will_close) == (403, False)
                answered.read()
    finally:
        connection.close()


def test_a_refused_body_is_not_asked_for(running: Running) -> None:
    with socket.create_connection(("127.0.0.1", running.server.port), timeout=10) as connection:
        connection.sendall(
            b"PUT /bucket/key HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n"
            b"Expect: 100-continue\r\n\r\n"
        )
        answered = b""
        while part := connection.recv(4096):
            answered += part
    assert answered.startswith(b"HTTP/1.1 403 ")


def test_names_of_headers_have_no_case(running: Running) -> None:
    """Else the body would be read as the next request."""
    request = b"PUT /bucket/key HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 9\r\n\r\nGET / etc"
    last = request.replace(b"host", b"connection: close\r\nhost")
    with socket.create_connection(("127.0.0.1", running.server.port), timeout=10) as connection:
        connection.sendall(request + last)
        answered = b""
        while part := connection.recv(4096):
            answered += part
    assert answered.count(b"HTTP/1.1 ") == answered.count(b"HTTP/1.1 403 ") == 2


@pytest.mark.parametrize("head", [b"Content-Length: -1", b"Content-Length: x", b"Transfer-Encoding: gzip"])
def test_a_length_that_is_none_is_refused(running: Running, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.server.port), timeout=10) as connection:
        connection.sendall(b"PUT / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_idleness_is_known(running: Running) -> None:
    before = time.monotonic()
    running.client("sagemaker").list_tags(ResourceArn="arn:a")
    assert running.server.last_request >= before
    deadline = time.monotonic() + 5
    while running.server.last_request > (now := time.monotonic()) - 0.01:  # nothing is at work
        assert now < deadline
        time.sleep(0.005)


def test_only_loopback_listens(running: Running) -> None:
    listening = [
        c
        for c in psutil.Process().net_connections("tcp")
        if c.status == "LISTEN" and c.laddr.port == running.server.port
    ]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_the_port_is_free_after_a_stop(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        found.client("s3").list_buckets()
        port = found.server.port
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.1", port))
