"""What carries jobs out, where something goes wrong or happens between two looks; trials are stand-ins."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded import conductor as module
from launchers.embedded.api import documents
from launchers.embedded.conductor import Conductor
from launchers.embedded.root import Root
from launchers.embedded.state import TRAINING, TUNING, Job, State
from tests.embedded.sweeping import definition, fixed, tuning, until

SAID = type("Said", (), {"said": {"bucket": "sweepmaker", "role": "arn:aws:iam::123456789012:role/x"}})()


class Scene:
    """A conductor whose training jobs do what ``act`` says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = Root.open(folder)
        self.state = State(self.root.state)
        self.lives: list[str] = []
        self.act: Callable[[str], None] = self.complete
        monkeypatch.setattr(module, "_LOOK_S", 0.05)
        monkeypatch.setattr(module, "Lifecycle", lambda _, name, told: Stand(self, name))
        parts: Any = type("Parts", (), {"state": self.state, "root": self.root})()
        self.conductor = Conductor(parts)

    def complete(self, name: str) -> None:
        with self.state.change(TRAINING, name) as job:
            job.document["TrainingJobStatus"] = "Completed"
            job.private["objective"] = 0.5

    def add(self, name: str) -> Job:
        request = {"TrainingJobName": name, "HyperParameters": fixed("s3://sweepmaker/x")}
        job = documents.training_job({**request, **definition(SAID, "")})
        assert self.state.add(job, {})
        return job

    def add_tuning(self, name: str, jobs: int) -> None:
        request = tuning(SAID, name, "s3://sweepmaker/x", jobs=jobs, parallel=1)
        assert self.state.add(documents.tuning_job(request, seed=1), {})

    def status(self, name: str, kind: str = TRAINING) -> str:
        job = self.state.get(kind, name)
        assert job is not None
        return job.status


class Stand:
    """In place of a `Lifecycle`."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene = scene
        self._name = name
        self.stopped = threading.Event()

    def run(self) -> None:
        self._scene.lives.append(self._name)
        self._scene.act(self._name)

    def stop(self, why: str) -> None:
        self.stopped.set()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    found = Scene(tmp_path, monkeypatch)
    yield found
    if found.conductor._thread.is_alive():
        found.conductor.close()
    found.state.close()


def test_a_job_that_ended_since_it_was_looked_at_is_not_run_again(scene: Scene) -> None:
    job = scene.add("ended")
    scene.complete("ended")
    scene.conductor._live(job)
    assert scene.conductor._lives == {}
    assert scene.lives == []


def test_a_thread_that_dies_leaves_nobody_waiting(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    def fail_once(name: str) -> None:
        if scene.lives.count(name) == 1:
            raise OSError("no space left on device")
        scene.complete(name)

    scene.act = fail_once
    scene.add("unlucky")
    scene.conductor.start()
    until(lambda: scene.status("unlucky") == "Completed", "a second life")
    assert scene.lives == ["unlucky", "unlucky"]
    assert "no space left on device" in capsys.readouterr().err


def test_a_job_created_again_before_the_first_has_cleared_up_is_run(scene: Scene) -> None:
    go = threading.Event()

    def slow_to_clear_up(name: str) -> None:
        scene.complete(name)
        if scene.lives.count(name) == 1:
            go.wait(20)

    scene.act = slow_to_clear_up
    job = scene.add("again")
    scene.conductor.start()
    until(lambda: scene.status("again") == "Completed", "its end")
    scene.state.delete(job)
    scene.add("again")
    scene.conductor.wake()
    go.set()
    until(lambda: scene.status("again") == "Completed", "the end of the second")
    assert scene.lives == ["again", "again"]


def test_a_deletion_waits_for_who_clears_up(scene: Scene) -> None:
    go, folder = threading.Event(), scene.root.job("going")

    def slow_to_clear_up(name: str) -> None:
        scene.complete(name)
        go.wait(20)
        folder.mkdir()

    scene.act = slow_to_clear_up
    scene.add("going")
    scene.conductor.start()
    until(lambda: scene.status("going") == "Completed", "its end")
    deletion = threading.Thread(target=scene.conductor.forget, args=("going",))
    deletion.start()
    deletion.join(0.2)
    go.set()
    deletion.join(20)
    until(lambda: not scene.conductor._lives, "its thread's end")
    assert not folder.exists()


def test_a_search_that_could_not_be_told_is_told_later(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    add_call, failures = State.add_call, [1]

    def full(self: State, job: str, call: list[Any]) -> None:
        if call[0] == "tell" and failures:
            failures.pop()
            raise OSError("no space left on device")
        add_call(self, job, call)

    monkeypatch.setattr(State, "add_call", full)
    scene.add_tuning("sweep", 3)
    scene.conductor.start()
    until(lambda: scene.status("sweep", TUNING) == "Completed", "the end of the sweep")
    calls = [call[:2] for call in scene.state.calls("sweep") if call[0] == "tell"]
    assert sorted(number for _, number in calls) == [0, 1, 2]
    assert len(scene.lives) == 3


def test_one_jobs_trouble_is_not_the_others(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = Conductor._sweep

    def broken(self: Conductor, name: str) -> Any:
        if name == "broken":
            raise ValueError("a search that cannot be made")
        return sweep(self, name)

    monkeypatch.setattr(Conductor, "_sweep", broken)
    scene.add_tuning("broken", 2)
    scene.add_tuning("whole", 2)
    scene.conductor.start()
    until(lambda: scene.status("whole", TUNING) == "Completed", "the end of the other")
    assert scene.status("broken", TUNING) == "InProgress"


def test_stopping_stays_so_through_a_restart(scene: Scene) -> None:
    scene.add("stopping")
    with scene.state.change(TRAINING, "stopping") as job:
        job.document["TrainingJobStatus"] = "Stopping"
    go = threading.Event()

    def wait(name: str) -> None:
        go.wait(20)
        scene.complete(name)

    scene.act = wait
    scene.conductor.start()
    until(lambda: scene.lives, "its life")
    assert scene.status("stopping") == "Stopping"
    go.set()


def test_stopping_what_has_ended_changes_nothing(scene: Scene) -> None:
    scene.add("over")
    scene.complete("over")
    before = scene.state.get(TRAINING, "over")
    scene.conductor.stop_trial("over", "user")
    assert scene.state.get(TRAINING, "over") == before
