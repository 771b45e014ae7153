"""Workers that crash, hang, are killed or cannot start: requests are not lost, nothing stays behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from pathlib import Path

import psutil
import pytest

from sweepmaker.serving.server.nursery import Nursery, one_of_the_visible
from tests.serving.server.servers import Answer, Server, gone, stand_in, until

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="what the kernel does here is Linux's")


def pids(server: Server) -> set[int]:
    return {one.pid for one in server.workers()}


def test_each_worker_is_a_process_and_all_of_them_work(tmp_path: Path) -> None:
    with stand_in(tmp_path, workers=2) as server:
        plan = server.plan()
        go = tmp_path / "go"
        asked = [server.in_background(lambda: server.order(wait=str(go))) for _ in range(2)]
        until(lambda: server.metric("sweepmaker_queue_seconds_count") == 2)  # each with a worker of its own
        go.touch()
        assert {one().json["pid"] for one in asked} == pids(server)
        assert plan["workers"] == 2 and "workers is set" in plan["reason"]


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        (before,) = pids(server)
        os.kill(before, signal.SIGKILL)
        until(lambda: server.metric("sweepmaker_workers_replaced_total") == 1)
        until(lambda: server.metric("sweepmaker_workers_ready") == 1)
        assert server.order().json["pid"] not in (before, server.process.pid)
        assert server.events("worker_ended")[0]["status"] == -signal.SIGKILL


def test_a_request_whose_worker_was_killed_is_answered_by_the_next(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        found = server.order("once", mark=str(tmp_path / "mark"))
        assert found.status == 200 and (tmp_path / "mark").exists()


def test_a_request_that_ends_workers_is_refused_and_not_tried_for_ever(tmp_path: Path) -> None:
    with stand_in(tmp_path, workers=2) as server:
        server.plan()
        others = [server.in_background(lambda: server.order(seconds=0.1)) for _ in range(6)]
        found = server.order("crash")
        assert found.status == 422 and "each worker that tried it" in found.json["error"]
        assert [one().status for one in others] == [200] * 6
        assert server.metric("sweepmaker_workers_replaced_total") == 2
        assert server.order("crash").status == 422
        assert server.order("crash", another=1).status == 422
        assert server.metric("sweepmaker_workers_replaced_total") == 4  # the very same one cost none
        assert server.order().status == 200


def test_a_computation_that_never_ends_costs_one_worker(tmp_path: Path) -> None:
    with stand_in(tmp_path, "--timeout-s", "2") as server:
        (before,) = pids(server)
        found = server.order(seconds=1000)
        assert found.status == 503 and "within 2 s" in found.json["error"]
        assert int(found.headers["retry-after"]) >= 1
        until(lambda: pids(server) and before not in pids(server))
        server.ready()
        assert server.order().status == 200


def test_a_computation_that_never_ends_is_not_tried_for_ever(tmp_path: Path) -> None:
    with stand_in(tmp_path, "--timeout-s", "2") as server:
        for count in (1, 2):
            assert server.order(seconds=1000).status == 503
            until(lambda: server.metric("sweepmaker_workers_replaced_total") == count)  # noqa: B023
            server.ready()
        found = server.order(seconds=1000)
        assert found.status == 422 and "took too long" in found.json["error"]
        assert server.order(seconds=0.01).status == 200
        assert server.metric("sweepmaker_workers_replaced_total") == 2


@pytest.mark.slow
def test_a_request_that_was_answered_has_a_clean_record(tmp_path: Path) -> None:
    """A machine may stall twice with the same image, and nothing is wrong with that."""
    go = tmp_path / "go"
    with stand_in(tmp_path, "--timeout-s", "2") as server:
        for count in (1, 2):
            assert server.order(wait=str(go)).status == 503
            until(lambda: server.metric("sweepmaker_workers_replaced_total") == count)  # noqa: B023
            server.ready()
            go.touch()
            assert server.order(wait=str(go)).status == 200
            go.unlink()


@pytest.mark.slow
def test_a_computation_among_others_that_never_ends_is_alone_the_next_time(tmp_path: Path) -> None:
    with stand_in(tmp_path, "--batch-max", "8", "--timeout-s", "4") as server:

        def together(*orders: dict[str, object]) -> list[Answer]:
            """Their answers; all of them wait while the worker is at another one."""
            go, taken = tmp_path / "go", server.metric("sweepmaker_queue_seconds_count")
            first = server.in_background(lambda: server.order(wait=str(go)))
            until(lambda: server.metric("sweepmaker_queue_seconds_count") > taken)
            asked = [server.in_background(lambda order=order: server.order(**order)) for order in orders]
            until(lambda: server.metric("sweepmaker_queue_requests") == len(orders))
            go.touch()
            assert first().status == 200
            go.unlink()
            return [one() for one in asked]

        endless, innocent = {"seconds": 1000}, {"number": 1}
        assert [one.status for one in together(endless, innocent)] == [503, 503]
        for count in (1, 2):
            until(lambda: server.metric("sweepmaker_workers_replaced_total") == count)  # noqa: B023
            server.ready()
            if count == 1:
                answers = [one.json["together"] for one in together(innocent, {"number": 2}, {"number": 3})]
                assert answers[0] == 1  # as it may be the one that never ends
                assert [one.json["together"] for one in together(innocent, {"number": 2})] == [2, 2]
            assert server.order(**endless).status == 503
        until(lambda: server.metric("sweepmaker_workers_replaced_total") == 3)
        server.ready()
        assert server.order(**endless).status == 422


@pytest.mark.slow
def test_a_request_that_ends_workers_after_its_client_has_gone_is_remembered(tmp_path: Path) -> None:
    with stand_in(tmp_path, "--timeout-s", "5") as server:
        assert server.order("late", seconds=3).status == 503  # the second worker is at it by then
        until(lambda: server.metric("sweepmaker_workers_replaced_total") == 2)
        server.ready()
        assert server.order("late", seconds=3).status == 422
        assert server.order().status == 200
        assert server.metric("sweepmaker_workers_replaced_total") == 2


def test_what_a_handler_must_not_return_is_logged_and_costs_no_worker(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        found = server.order("object")
        assert found.status == 500 and "the server's log says why" in found.json["error"]
        until(lambda: any("output_fn returns text or bytes" in e["line"] for e in server.events("output")))
        assert server.order("number", batch="no list").status == 200
        assert server.metric("sweepmaker_workers_replaced_total") == 0


def test_why_a_worker_ended_is_in_the_log(tmp_path: Path) -> None:
    """A device that answers nothing any more, as CUDA says it, ends its process; another takes its place."""
    with stand_in(tmp_path) as server:
        found = server.order("lost")
        assert found.status == 422
        until(lambda: any("device-side assert" in e["line"] for e in server.events("output")))
        assert server.metric("sweepmaker_workers_replaced_total") == 2
        server.ready()
        assert server.order("exhausted").status == 413
        assert server.metric("sweepmaker_workers_replaced_total") == 2


def test_a_worker_that_cannot_be_forked_ends_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    front, its = socket.socketpair()
    mine, worker = socket.socketpair()
    nursery = Nursery(its, {})

    def refused() -> int:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    with front, its, mine, worker:
        socket.send_fds(front, [b'{"start": 3, "gpu": null}\n'], [worker.fileno()])
        assert nursery._listen()
        said = json.loads(front.recv(4096))
        assert said["failed"] == 3 and "unavailable" in said["message"]
        worker.close()
        assert mine.recv(1) == b""  # its end was closed, so whoever waits for the worker hears of it


@pytest.mark.parametrize(
    ("visible", "gpu", "one"), [(None, 1, "1"), ("", 0, "0"), ("2,3", 1, "3"), ("GPU-a, GPU-b", 1, "GPU-b")]
)
def test_gpus_are_those_that_were_given(
    visible: str | None, gpu: int, one: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert one_of_the_visible(gpu) == one


def test_a_request_that_waited_too_long_is_told(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, "--timeout-s", "1") as server:
        first = server.in_background(lambda: server.order(wait=str(wait)))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        second = server.in_background(lambda: server.order(wait=str(wait), another=1))
        assert first().status == 503
        found = second()
        assert found.status == 503 and "within 1 s" in found.json["error"]


def test_ping_fails_while_no_worker_can_be_had(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with stand_in(tmp_path, SERVING_BREAK=str(broken)) as server:
        broken.touch()
        os.kill(*pids(server), signal.SIGKILL)
        until(lambda: server.events("worker_failed"))
        assert server.ask("GET", "/ping").status == 503
        found = server.order()
        assert found.status == 503 and found.headers["retry-after"]
        assert "the model is broken" in server.events("worker_failed")[0]["message"]
        broken.unlink()
        server.ready()
        assert server.order().status == 200


def test_without_its_nursery_the_server_recovers(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        (nursery,) = psutil.Process(server.process.pid).children()
        workers = server.workers()
        nursery.kill()
        assert gone(workers)
        until(lambda: server.metric("sweepmaker_workers_replaced_total") == 1)
        server.ready()
        assert server.order().status == 200


def test_a_killed_server_leaves_no_process_behind(tmp_path: Path) -> None:
    with stand_in(tmp_path, workers=2) as server:
        server.plan()
        server.in_background(lambda: server.order(seconds=1000))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        family = server.family()
        assert len(family) == 4
        server.process.kill()
        assert gone(family)


@pytest.mark.parametrize("batch", [1, 4])
def test_requests_are_computed_together_as_far_as_that_is_asked_for(tmp_path: Path, batch: int) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, "--batch-max", str(batch), "--batch-latency-ms", "5") as server:
        first = server.in_background(lambda: server.order(wait=str(wait)))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        others = [
            server.in_background(lambda number=number: server.order(number=number)) for number in range(6)
        ]
        until(lambda: server.metric("sweepmaker_queue_requests") == 6)
        wait.touch()
        assert first().json["together"] == 1
        answers = [one().json for one in others]
        assert [one["number"] for one in answers] == list(range(6))  # each its own
        assert sorted(one["together"] for one in answers) == ([1] * 6 if batch == 1 else [2, 2, 4, 4, 4, 4])


def test_a_batch_is_not_waited_for_longer_than_the_bound(tmp_path: Path) -> None:
    with stand_in(tmp_path, "--batch-max", "8", "--batch-latency-ms", "300") as server:
        begun = time.monotonic()
        assert server.order().json["together"] == 1
        assert time.monotonic() - begun >= 0.3
        queued = server.metric("sweepmaker_queue_seconds_sum")
        assert 0.3 <= queued < 60


def test_one_bad_request_in_a_batch_harms_no_other(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, "--batch-max", "8") as server:
        first = server.in_background(lambda: server.order(wait=str(wait)))
        until(lambda: server.metric("sweepmaker_queue_seconds_count") >= 1)
        others = [
            server.in_background(lambda do=do: server.order(do)) for do in ("echo", "crash", "defect", "echo")
        ]
        until(lambda: server.metric("sweepmaker_queue_requests") == 4)
        wait.touch()
        assert first().status == 200
        assert [one().status for one in others] == [200, 422, 500, 200]
