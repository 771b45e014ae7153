"""How many threads a run takes, and what it asks of OpenMP."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from omegaconf import OmegaConf

from sweepmaker.config.choices import Choices
from sweepmaker.run import threads

BEFORE = {"choices": {"threads": {"value": 3, "reason": "a lone run on 3 cores"}}}


@pytest.mark.parametrize(
    ("wanted", "environment", "earlier", "at_a_time", "others", "expected", "word"),
    [
        ("auto", "", None, 1, 0, (8, False), "lone"),
        ("auto", "", None, 2, 0, (4, True), "2 runs side by side"),
        ("auto", "", None, 3, 0, (2, True), "3 runs"),
        ("auto", "", None, 20, 0, (1, True), "20 runs"),
        ("auto", "", None, 1, 1, (4, True), "1 other"),
        ("auto", "", None, 1, 30, (1, True), "30 other"),
        ("auto", "5", None, 1, 1, (5, False), "OMP_NUM_THREADS"),
        ("auto", "1", None, 2, 0, (4, True), "2 runs"),  # joblib sets it for its workers
        ("auto", "0", None, 1, 0, (8, False), "lone"),
        ("auto", "4,2", None, 1, 0, (8, False), "lone"),
        ("auto", "5", BEFORE, 1, 0, (3, False), "before"),
        ("auto", "", BEFORE, 1, 4, (3, False), "before"),
        ("auto", "", {"choices": None}, 1, 0, (8, False), "lone"),
        ("auto", "", {"choices": {}}, 1, 0, (8, False), "lone"),
        (6, "5", BEFORE, 2, 9, (6, True), "trainer.threads"),
    ],
)
def test_the_first_of_these_that_applies_decides(
    wanted: Any, environment: str, earlier: Any, at_a_time: int, others: int,
    expected: tuple[int, bool], word: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(threads, "_runs_side_by_side", lambda: at_a_time)
    monkeypatch.setattr(threads, "_other_runs", lambda: others)
    cfg = OmegaConf.create({"trainer": {"threads": wanted}})
    count, reason, shared = threads._decide(cfg, 8, earlier)
    assert (count, shared) == expected
    assert word in reason


def test_without_a_trainer_node_it_is_automatic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert threads._decide(OmegaConf.create({}), 8, None)[0] == 2


@pytest.mark.parametrize(
    ("shared", "count", "policy"), [(True, 4, "passive"), (True, 1, None), (False, 4, None)]
)
def test_the_environment_is_set_while_torch_is_not_loaded(
    shared: bool, count: int, policy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "_decide", lambda *_: (count, "because", shared))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    choices = Choices(quiet=True)
    assert threads.choose(OmegaConf.create({}), choices) == count
    assert choices.as_dict()["threads"] == {"value": count, "reason": "because"}
    assert (threads.os.environ["OMP_NUM_THREADS"], threads.os.environ["MKL_NUM_THREADS"]) == (str(count),) * 2
    assert threads.os.environ.get("OMP_WAIT_POLICY") == policy


def test_later_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_decide", lambda *_: (4, "because", True))
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.setitem(sys.modules, "torch", object())  # type: ignore[arg-type]
    assert threads.choose(OmegaConf.create({}), Choices(quiet=True)) == 4
    assert threads.os.environ["OMP_NUM_THREADS"] == "77"


def test_the_user_s_own_waiting_policy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_decide", lambda *_: (4, "because", True))
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    threads.choose(OmegaConf.create({}), Choices(quiet=True))
    assert threads.os.environ["OMP_WAIT_POLICY"] == "active"


def test_only_other_trainings_of_ours_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    own = psutil.Process()
    commands = {
        10**9 + 1: ["/usr/bin/python3", "train.py", "lr=1"],
        10**9 + 2: ["python3.11", "-u", "/some/where/train.py"],
        10**9 + 3: ["python", "launch.py", "train.py.bak"],
        10**9 + 4: ["vim", "train.py"],
        10**9 + 5: ["python"],
        10**9 + 6: [],
        10**9 + 7: None,
        10**9 + 8: ["python", "other.py", "a", "train.py"],
        own.pid: ["python", "train.py"],
        own.ppid(): ["python", "train.py"],  # the launcher of this run
    }

    class Process:
        def __init__(self, pid: int) -> None:
            self.info = {"pid": pid, "cmdline": commands[pid]}

    monkeypatch.setattr(psutil, "process_iter", lambda _: map(Process, commands))
    assert threads._other_runs() == 2


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (1, 1), (2, 2), (16, 16), ("4", 4), ("0,3", 2), ([0, 1, 5], 3),
        ("auto", 1), (-1, 1), ("-1", 1), (None, 1),
    ],
)  # fmt: skip
def test_a_process_for_each_device(devices: Any, expected: int) -> None:
    cfg = OmegaConf.create({"trainer": {"devices": devices}} if devices is not None else {})
    assert threads._processes(cfg) == expected


@pytest.mark.parametrize(
    ("devices", "others", "environment", "expected"),
    [(1, 0, "", 8), (2, 0, "", 4), (3, 0, "", 2), (20, 0, "", 1), (2, 1, "", 2), (2, 0, "8", 8)],
)
def test_the_processes_of_a_run_share_its_cores(
    devices: int, others: int, environment: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    monkeypatch.setattr(threads, "_runs_side_by_side", lambda: 1)
    monkeypatch.setattr(threads, "_other_runs", lambda: others)
    cfg = OmegaConf.create({"trainer": {"threads": "auto", "devices": devices}})
    assert threads._decide(cfg, 8, None)[0] == expected


JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher"


@pytest.mark.parametrize(
    ("launcher", "runs", "expected"),
    [
        ({"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}, 3, 1),
        ({"_target_": JOBLIB, "n_jobs": 3}, None, 3),
        ({"_target_": JOBLIB, "n_jobs": 3}, 2, 2),  # the third has nothing to do
        ({"_target_": JOBLIB, "n_jobs": 3}, 20, 3),
        ({"_target_": JOBLIB, "n_jobs": -1}, None, 6),
        ({"_target_": JOBLIB, "n_jobs": -1}, 20, 6),
        ({"_target_": JOBLIB, "n_jobs": -1}, 4, 4),
        ({"_target_": JOBLIB, "n_jobs": -2}, 20, 5),  # joblib's way to say: all but one
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, None, 6),
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, 2, 2),
        ({"_target_": f"{SUBMITIT}.LocalLauncher"}, 20, 20),  # they all start at once
        ({"_target_": f"{SUBMITIT}.SlurmLauncher"}, 20, 1),
        ({}, 3, 1),
    ],
)
def test_runs_side_by_side(
    launcher: Any, runs: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Config:
        @staticmethod
        def initialized() -> bool:
            return True

        @staticmethod
        def get() -> Any:
            hydra = {"launcher": launcher, "runtime": {"cwd": "/here"}, "sweep": {"dir": "multirun/1"}}
            return OmegaConf.create(hydra)

    def runs_at_once(folder: Path) -> int | None:
        assert folder == Path("/here/multirun/1")
        return runs

    monkeypatch.setattr(threads, "HydraConfig", Config)
    monkeypatch.setattr(threads, "available_cores", lambda: 6)
    monkeypatch.setattr(threads, "runs_at_once", runs_at_once)
    assert threads._runs_side_by_side() == expected
