"""Workers that crash, hang, are killed or cannot start: requests are not lost, nothing stays behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.serving.server.servers import Server, gone, stand_in, until

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="what the kernel does here is Linux's")


def pids(server: Server) -> set[int]:
    return {one.pid for one in server.workers()}


def test_each_worker_is_a_process_and_all_of_them_work(tmp_path: Path) -> None:
    with stand_in(tmp_path, workers=2) as server:
        plan = server.plan()
        asked = [server.in_background(lambda: server.order(seconds=0.3)) for _ in range(2)]
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
    with stand_in(tmp_path, "--timeout-s", "0.5") as server:
        (before,) = pids(server)
        found = server.order(seconds=1000)
        assert found.status == 503 and "within 0.5 s" in found.json["error"]
        assert int(found.headers["retry-after"]) >= 1
        until(lambda: pids(server) and before not in pids(server))
        server.ready()
        assert server.order().status == 200


def test_a_request_that_waited_too_long_is_told(tmp_path: Path) -> None:
    wait = tmp_path / "go"
    with stand_in(tmp_path, "--timeout-s", "1") as server:
        first = server.in_background(lambda: server.order(wait=str(wait)))
        second = server.in_background(lambda: server.order())
        assert second().status in (200, 503)
        assert first().status == 503


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
