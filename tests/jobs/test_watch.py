"""A job watched over HTTP: what is shown, what is survived, what Ctrl-C does."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from launchers.aws.clients import Clients, connect
from launchers.jobs import poller, standing
from launchers.jobs.poller import Poller
from launchers.jobs.standing import TRAINING, TUNING, Job, Looker
from launchers.jobs.table import Lines, Table
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import ENVIRONMENT
from tests.jobs.launching import CHECKOUT
from tests.jobs.service import Dropped, Refused, Service, serving


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def address(service: Service, aws_environment: Any) -> Iterator[str]:
    with serving(service) as found:
        yield found


@pytest.fixture
def watcher(address: str) -> Clients:
    return connect({"name": "sagemaker", "region": "us-east-1", "endpoint_url": address})


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def watched(
    clients: Clients, clock: Clock | None = None, name: str = "sweep-1"
) -> tuple[list[Job], list[str], Clock]:
    clock = clock or Clock()
    said: list[str] = []
    kind = TUNING if name == "sweep-1" else TRAINING
    found = Poller(Looker(clients, kind, name), said.append, sleep=clock.sleep, clock=clock)
    return list(found.jobs()), said, clock


def ends(service: Service) -> None:
    service.status = "Completed"


def test_watched_to_its_end(service: Service, watcher: Clients) -> None:
    service.then(
        lambda: service.trial(1, phase="Downloading"),
        lambda: service.trial(1, value=0.5),
        lambda: service.trial(1, "Completed", 0.7),
        lambda: service.trial(2, "Failed", reason="AlgorithmError: out of memory"),
        lambda: ends(service),
    )
    jobs, said, _ = watched(watcher)
    assert [job.status for job in jobs] == ["InProgress"] * 4 + ["Completed"]
    assert [(one.phase, one.value) for one in (jobs[0].trials[0], jobs[1].trials[0])] == [
        ("Downloading", None), ("Training", 0.5),
    ]  # fmt: skip
    assert jobs[-1].best is not None and jobs[-1].best.value == 0.7
    assert jobs[-1].trials[1].reason.startswith("AlgorithmError")
    assert said == []


def test_a_single_training_job(service: Service, watcher: Clients) -> None:
    name = service.trial(1, phase="Training")
    service.name = name
    (trial,) = service.trials
    service.then(lambda: trial.update(value=0.5), lambda: trial.update(status="Completed", value=0.9))
    jobs, _, _ = watched(watcher, name=name)
    assert [(job.status, job.trials[0].value) for job in jobs] == [("InProgress", 0.5), ("Completed", 0.9)]
    assert jobs[-1].kind == TRAINING and jobs[-1].best == jobs[-1].trials[0]
    service.name = "sweep-1"
    assert standing.kind_of(watcher, name) == TRAINING
    assert standing.kind_of(watcher, "sweep-1") == TUNING


def test_no_job_of_that_name(service: Service, watcher: Clients) -> None:
    with pytest.raises(ConfigError, match=r"job\.name: there is no job 'other'(?s:.*)action=list"):
        standing.kind_of(watcher, "other")


def test_every_page_is_read(service: Service, watcher: Clients) -> None:
    service.page = 7
    for number in range(1, 31):
        service.trial(number, "Completed", 0.1)
    ends(service)
    jobs, _, _ = watched(watcher)
    assert len(jobs[-1].trials) == 30
    assert service.calls.count("ListTrainingJobsForHyperParameterTuningJob") == 5
    assert "DescribeTrainingJob" not in service.calls


def test_few_trials_are_described_in_one_look(service: Service, watcher: Clients) -> None:
    for number in range(1, 21):
        service.trial(number, phase="Starting")
    service.then(*[lambda: None] * 8, lambda: ends(service))
    jobs, _, _ = watched(watcher)
    assert service.calls.count("DescribeTrainingJob") == 5 * len(jobs)
    assert {one.phase for one in jobs[-1].trials} == {"Starting"}  # each had its turn


def test_looks_become_rarer_while_nothing_changes(service: Service, watcher: Clients) -> None:
    service.then(*[lambda: None] * 60, lambda: ends(service))
    jobs, _, clock = watched(watcher)
    assert clock.slept[0] <= 0.6 and 16 <= clock.slept[-1] <= 24
    assert len(jobs) == 61 and clock.now > 300


def test_throttling_is_waited_out(service: Service, watcher: Clients) -> None:
    service.faults = [Refused("ThrottlingException", "Rate exceeded") for _ in range(6)]
    service.then(lambda: None, lambda: ends(service))
    jobs, said, clock = watched(watcher)
    assert jobs[-1].status == "Completed" and said == []
    assert clock.slept[5] > 10 and clock.slept[6] > 10  # later looks are rarer too


def test_a_lost_connection_is_waited_out(service: Service, watcher: Clients) -> None:
    def lost() -> None:
        service.faults += [Dropped(), Refused("InternalFailure", status=500), Dropped()]

    service.then(lost, lambda: ends(service))
    jobs, said, _ = watched(watcher)
    assert jobs[-1].status == "Completed"
    assert len(said) == 2 and "trying again" in said[0] and "answers again" in said[1]


def test_patience_ends(service: Service, watcher: Clients) -> None:
    service.then(lambda: service.faults.extend(Dropped() for _ in range(100)))
    clock = Clock()
    with pytest.raises(UserError, match="broke"):
        watched(watcher, clock)
    assert poller.PATIENCE_S < clock.now < poller.PATIENCE_S + 200


@pytest.mark.parametrize("code", ["AccessDeniedException", "ExpiredTokenException", "ValidationException"])
def test_a_refusal_ends_it_at_once(code: str, service: Service, watcher: Clients) -> None:
    service.then(lambda: service.faults.append(Refused(code, "User: x is not authorized to perform: y:Z")))
    clock = Clock()
    with pytest.raises(UserError):
        watched(watcher, clock)
    assert len(clock.slept) == 0


def test_nothing_there_from_the_start_is_said_at_once(aws_environment: Any) -> None:
    clients = connect({"name": "sagemaker", "region": "us-east-1", "endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(UserError, match=r"where\.endpoint_url: nothing answers"):
        standing.kind_of(clients, "sweep-1")


def test_lines_say_each_change_once(service: Service, watcher: Clients) -> None:
    service.trial(1, phase="Training", value=0.25)
    service.then(
        lambda: None, lambda: None, lambda: None,
        lambda: service.trial(1, "Failed", reason="AlgorithmError: \x1b[31mbad\nnews"),
        lambda: ends(service),
    )  # fmt: skip
    stream = io.StringIO()
    lines = Lines(stream)
    for job in watched(watcher)[0]:
        lines.show(job)
    shown = [line.partition("  ")[2] for line in stream.getvalue().splitlines()]
    assert len(shown) == 4, shown
    assert shown[0].startswith("001-00000001  Training  batch_size=8 lr=0.01  valid/top1_best=0.25")
    assert "Failed: AlgorithmError: ?[31mbad news" in shown[2]
    assert shown[3] == "tuning job sweep-1: Completed, 1 of 3 trials ended, 1 failed"


def test_the_table_fits_the_terminal(
    service: Service, watcher: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("LINES", "20")
    monkeypatch.setenv("TERM", "xterm")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    service.trial(1, "Completed", 0.99)
    for number in range(2, 40):
        service.trial(number, "Completed", 0.1)
    service.trial(40, phase="Training", value=0.3)
    job = next(iter(Poller(Looker(watcher, TUNING, "sweep-1"), print).jobs()))
    stream = Terminal()
    table = Table(stream)
    table.show(job)
    table.close()
    shown = stream.getvalue()
    assert "001-00000001" in shown and "040-00000028" in shown and "and 28 more" in shown
    assert "002-00000002" not in shown


PROGRAM = """
import json, sys
from launchers.jobs import watch
from launchers.aws.clients import connect
from launchers.jobs.standing import TUNING
from sweepmaker.config import app
def main():
    where = {"name": "sagemaker", "region": "us-east-1", "endpoint_url": sys.argv[1]}
    watch.SECOND_S = float(sys.argv[2])
    watch.watch(connect(where), TUNING, "sweep-1", ["where=here"])
app.start(main, prepare=None)
"""


class Watching:
    """A process that watches; ``stderr`` is read while it runs."""

    def __init__(self, address: str, second: float = 20) -> None:
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'src'}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(second)],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def until(self, words: str) -> None:
        assert self.process.stderr is not None
        while words not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line

    def end(self) -> int:
        assert self.process.stderr is not None
        self.said += self.process.stderr.read()
        self.process.stderr.close()
        return self.process.wait(20)


def test_ctrl_c_leaves_the_job_to_itself(service: Service, address: str) -> None:
    service.trial(1)
    watching = Watching(address, second=0.3)
    watching.until("Training")
    watching.process.send_signal(signal.SIGINT)
    assert watching.end() == 130
    assert "goes on without this program" in watching.said and "Traceback" not in watching.said
    assert "python launch.py action=watch job.name=sweep-1 where=here" in watching.said
    assert "python launch.py action=stop job.name=sweep-1 where=here" in watching.said
    assert service.status == "InProgress"


def test_a_second_ctrl_c_stops_the_job(service: Service, address: str) -> None:
    service.trial(1)
    watching = Watching(address)
    watching.until("Training")
    watching.process.send_signal(signal.SIGINT)
    watching.until("Ctrl-C again")
    watching.process.send_signal(signal.SIGINT)
    assert watching.end() == 130
    assert "is being stopped" in watching.said
    assert service.status == "Stopping"


def test_sigterm_leaves_at_once(service: Service, address: str) -> None:
    service.trial(1)
    watching = Watching(address)
    watching.until("Training")
    begin = time.monotonic()
    watching.process.send_signal(signal.SIGTERM)
    assert watching.end() == 143
    assert time.monotonic() - begin < 10  # no waiting for a second one
    assert service.status == "InProgress"
