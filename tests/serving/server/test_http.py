"""What comes in and out over real sockets: statuses, ids, hosts, limits, the queue; by a stand-in."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.server.servers import Answer, Server, stand_in, until

POST = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with stand_in(tmp_path_factory.mktemp("model"), "--payload-mb", "1") as running:
        yield running


def raw(server: Server, *pieces: bytes, end: bool = False) -> bytes:
    """What comes back for bytes that no client library would send, until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if end:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while piece := connection.recv(65536):
            found += piece
        return found


def test_ping_answers_once_the_model_has(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with stand_in(tmp_path, SERVING_GATE=str(gate)) as server:
        early = server.ask("GET", "/ping")
        assert early.status == 503 and early.headers["retry-after"] == "1"
        asked = server.order()
        assert asked.status == 503 and asked.json == {"error": "the model is not ready"}
        gate.touch()
        server.ready()
        assert server.ask("GET", "/ping").json == {"status": "ready"}
        assert server.order().status == 200


def test_a_request_gets_what_the_handler_says(server: Server) -> None:
    found = server.order(word="ü")
    assert found.status == 200
    assert found.json["word"] == "ü" and found.json["type"] == "application/json"
    assert found.headers["content-type"] == "application/json"
    assert set(part.partition(";")[0].strip() for part in found.headers["server-timing"].split(",")) == {
        "queue", "read", "model",
    }  # fmt: skip


def test_a_body_comes_whole_in_whatever_pieces(server: Server) -> None:
    body = json.dumps({"do": "echo", "pad": "x" * 700_000}).encode()
    for sent in (body, iter([body[:1], body[1:3], body[3:]])):
        found = server.ask("POST", "/invocations", sent, content_type="text/plain")
        assert (found.status, found.json["bytes"]) == (200, len(body))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/invocations/", 404),
        ("GET", "/../etc/passwd", 404),
        ("GET", "/%00%ff", 404),
        ("GET", "/invocations", 405),
        ("POST", "/ping", 405),
        ("OPTIONS", "/invocations", 405),
        ("BREW", "/", 405),
        ("POST", "/invocations", 400),
    ],
)
def test_what_is_wrong_is_said_as_json(server: Server, method: str, path: str, status: int) -> None:
    found = server.ask(method, path, "nonsense" if method == "POST" else None)
    assert found.status == status
    assert isinstance(found.json["error"], str)
    assert ("allow" in found.headers) == (status == 405)


def test_head_is_answered_without_a_body(server: Server) -> None:
    found = server.ask("HEAD", "/ping")
    assert (found.status, found.body) == (200, b"")


@pytest.mark.parametrize("given", ["a-b.1", "Root=1-67891233-abcdef012345678912345678", "x" * 128])
def test_a_request_s_id_comes_back_and_is_logged(server: Server, given: str) -> None:
    assert server.ask("GET", "/openapi.json", x_request_id=given).headers["x-request-id"] == given
    until(lambda: any(line.get("id") == given for line in server.log))


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "<script>", "a\tb", "é"])
def test_an_id_that_would_not_fit_is_replaced(server: Server, given: str) -> None:
    found = server.ask("GET", "/ping", x_request_id=given).headers["x-request-id"]
    assert len(found) == 32 and set(found) <= set("0123456789abcdef")


def test_custom_attributes_come_back_untouched(server: Server) -> None:
    given = 'trace="1"; a,b <c>'
    found = server.ask("GET", "/ping", x_amzn_sagemaker_custom_attributes=given)
    assert found.headers["x-amzn-sagemaker-custom-attributes"] == given


def test_a_handler_s_defect_is_a_500_without_its_reason(server: Server) -> None:
    found = server.order("defect", word="secret")
    assert found.status == 500 and b"a defect" not in found.body
    until(lambda: any("a defect" in line.get("line", "") for line in server.events("output")))
    assert server.order("memory").status == 413
    assert server.order().status == 200


def test_bodies_are_not_logged(server: Server) -> None:
    server.order(word="a-secret-word", x=1)
    server.ask("GET", "/openapi.json", x_request_id="after")
    until(lambda: any(line.get("id") == "after" for line in server.log))
    assert "a-secret-word" not in str(server.log)
    assert server.plain == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "LOCALHOST:80", "127.9.9.9"])
def test_names_of_this_machine_are_answered(server: Server, host: str) -> None:
    assert server.ask("GET", "/ping", host=host).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil", "", "10.0.0.1"])
def test_other_names_are_refused(server: Server, host: str) -> None:
    """A page whose own name leads to 127.0.0.1 must not get at the model."""
    assert server.ask("GET", "/", host=host).status == 421
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    assert raw(server, request.encode())[9:12] in (b"421", b"400")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:1", 403),
        ("http://[", 403),
        ("own", 200),
    ],
)
def test_pages_of_others_are_refused(server: Server, origin: str, status: int) -> None:
    origin = f"http://127.0.0.1:{server.port}" if origin == "own" else origin
    assert server.ask("GET", "/ping", origin=origin).status == status


def test_a_body_above_the_limit_is_refused_and_the_reason_read(server: Server) -> None:
    at_limit, above = b"x" * 2**20, b"x" * (2**20 + 1)
    assert server.ask("POST", "/invocations", at_limit).status == 400  # no order, but let in
    for body in (above, iter([above[:10], above[10:]]), b"x" * 2**24):
        found = server.ask("POST", "/invocations", body)
        assert found.status == 413 and "1 MB (1,048,576 bytes)" in found.json["error"]


def test_a_body_too_large_by_its_own_word_need_not_come(server: Server) -> None:
    found = raw(server, POST + b"Content-Length: 99999999\r\n\r\nhalf")
    assert found.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_never_ends_is_ended(server: Server) -> None:
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(head)
        with pytest.raises(OSError):
            for _ in range(2000):
                connection.sendall(chunk)
    assert server.order().status == 200


def test_a_client_that_waits_for_a_word_need_not_send(server: Server) -> None:
    head = POST + b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
    found = raw(server, head)
    assert found.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40, 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000, 431),
        (b"GET /" + b"x" * 200_000, 431),
    ],
)  # fmt: skip
def test_what_is_no_http_is_answered_as_far_as_it_can_be(server: Server, sent: bytes, status: int) -> None:
    found = raw(server, sent)
    assert found[9:12] == str(status).encode(), found[:200]
    assert json.loads(found.rpartition(b"\r\n")[2])["error"]


def test_half_a_request_is_no_event(server: Server) -> None:
    for part in (
        b"",
        b"GET",
        POST + b"Content-Length: 9\r\n\r\nhalf",
    ):
        raw(server, part, end=True)
    assert server.order().status == 200
    assert [line for line in server.log if line["level"] == "error"] == []


def test_requests_on_one_connection_are_answered_in_turn(server: Server) -> None:
    one = b"GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert raw(server, one + one + last).count(b"HTTP/1.1 200 OK") == 3


def test_metrics_count(server: Server) -> None:
    line = 'sweepmaker_requests_total{path="/invocations",status="200"}'
    before = server.metric(line)
    assert server.order().status == 200
    assert server.metric(line) == before + 1
    assert server.metric("sweepmaker_workers_ready") == 1
    server.ask("GET", "/some/other/path")
    assert "/some/other" not in server.ask("GET", "/metrics").body.decode()


def test_more_than_the_queue_holds_is_refused_with_a_time(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, "--queue", "2") as server:
        busy = [server.in_background(lambda: server.order(wait=str(wait)))]
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        for count in (1, 2):
            busy.append(server.in_background(lambda: server.order(wait=str(wait))))
            until(lambda count=count: server.metric("sweepmaker_queue_requests") == count)  # type: ignore[misc]
        refused = server.order()
        assert refused.status == 503 and int(refused.headers["retry-after"]) >= 1
        assert refused.json == {"error": "2 requests are waiting already"}
        wait.touch()
        answers: list[Answer] = [one() for one in busy]
        assert [one.status for one in answers] == [200, 200, 200]


def test_who_has_gone_is_not_computed(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path) as server:
        first = server.in_background(lambda: server.order(wait=str(wait)))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        taken = server.metric("sweepmaker_queue_seconds_count")
        leaving = server.connect()
        leaving.request("POST", "/invocations", json.dumps({"do": "echo"}))
        until(lambda: server.metric("sweepmaker_queue_requests") == 1)
        leaving.close()
        until(lambda: server.metric("sweepmaker_queue_requests") == 0)
        wait.touch()
        assert first().status == 200
        assert server.order().status == 200
        assert server.metric("sweepmaker_queue_seconds_count") == taken + 1
