"""SIGTERM: what was accepted is answered, the exit code is 0, in bounded time, and no process is left."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.serving.server.servers import Server, gone, stand_in, until


def test_a_request_at_work_is_answered_and_then_all_end(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, workers=2) as server:
        asked = [server.in_background(lambda: server.order(wait=str(wait))) for _ in range(5)]
        until(lambda: server.metric("sweepmaker_queue_requests") == 3)
        family = server.family()
        server.process.terminate()
        until(lambda: server.events("ending"))
        assert server.process.poll() is None
        wait.touch()
        answers = [one() for one in asked]
        assert [one.status for one in answers] == [200] * 5
        assert {one.headers["connection"] for one in answers} == {"close"}
        assert server.process.wait(60) == 0
        assert gone(family)
        assert server.plain == []


def test_ctrl_c_is_the_same(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        family = server.family()
        assert server.end(signal.SIGINT) == 0
        assert gone(family)


def test_it_ends_while_the_model_is_still_loading(tmp_path: Path) -> None:
    with stand_in(tmp_path, SERVING_GATE=str(tmp_path / "never")) as server:
        until(lambda: len(server.family()) == 3)
        family = server.family()
        assert server.end() == 0
        assert gone(family)


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        server.in_background(lambda: server.order(seconds=1000))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        family = server.family()
        server.process.terminate()
        until(lambda: server.events("ending"))
        assert server.end() == 128 + signal.SIGTERM
        assert gone(family)


def test_open_connections_that_say_nothing_do_not_hold_it_up(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        silent[1].sendall(b"GET /ping HT")
        kept = server.connect()
        assert server.ask("GET", "/ping", connection=kept).status == 200
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 20
        for one in silent:
            one.close()
        kept.close()


ORDER = json.dumps({"do": "echo", "seconds": 0.005})


def clients(
    server: Server, stop: threading.Event, count: int, answers: list[object]
) -> list[threading.Thread]:
    """Ask without a pause on kept connections until the server says ``Connection: close`` or is gone.

    What is lost goes into ``answers`` as the exception: a request that was sent, and no answer to it. A
    connection that cannot be made any more is no loss.
    """

    def ask() -> None:
        connection: http.client.HTTPConnection | None = None
        while not stop.is_set():
            try:
                if connection is None:
                    connection = server.connect()
                    connection.connect()
            except OSError:
                return
            try:
                found = server.ask("POST", "/invocations", ORDER, connection)
            except (OSError, http.client.HTTPException) as error:
                answers.append(error)
                return
            answers.append(found.status)
            if found.headers.get("connection") == "close":
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("count", [1, 8])
def test_under_load_no_request_is_lost(tmp_path: Path, count: int) -> None:
    with stand_in(tmp_path, workers=2) as server:
        stop, answers = threading.Event(), list[object]()
        threads = clients(server, stop, count, answers)
        until(lambda: len(answers) >= 20)
        begun = time.monotonic()
        code = server.end()
        took = time.monotonic() - begun
        stop.set()
        for thread in threads:
            thread.join(60)
        assert code == 0 and took < 25
        assert set(answers) == {200}
        assert server.events("ended")[0]["complete"]
