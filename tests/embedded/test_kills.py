"""A sweep while its server, its warm process and its trials are killed at random moments."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.embedded.sweeping import ENDED, Whole, end_of_tuning, trials_of, tuning, until

SETTINGS = ("runtime=fork", "poll_s=0.02", "checkpoint_s=0.1", "stop_grace_s=5")


def value(trial: dict[str, Any]) -> float | None:
    found = [one["Value"] for one in trial.get("FinalMetricDataList", []) if one["MetricName"] == "score"]
    return found[0] if found else None


def final(trial: dict[str, Any]) -> float:
    return round(float(trial["HyperParameters"]["rate"]) * (1 - 0.5**10), 6)


class Killer:
    """Kills one process after another and notes which trials it hit."""

    def __init__(self, whole: Whole, pids: Path, seed: int) -> None:
        self._whole = whole
        self._pids = pids
        self._random = random.Random(seed)
        self._next: list[str] = []
        self.hit: set[str] = set()
        self.count = {"server": 0, "zygote": 0, "trial": 0}

    def strike(self) -> None:
        if not self._next:  # in turns of random order, so that even nine kills hit each kind
            self._next = self._random.sample(list(self.count), len(self.count))
        kind = self._next[-1]
        time.sleep(self._random.uniform(0.02, 0.6))  # the moment is what is random here
        if {"server": self._server, "zygote": self._zygote, "trial": self._trial}[kind]():
            self.count[kind] += 1
            self._next.pop()

    def _server(self) -> bool:
        self._whole.kill()
        self._whole.start()
        return True

    def _zygote(self) -> bool:
        for pid in self._whole.marked():
            with contextlib.suppress(psutil.Error):
                one = psutil.Process(pid)
                if (
                    "launchers.embedded.runtimes.zygote" in one.cmdline()
                    and one.ppid() == self._whole.process.pid
                ):
                    one.kill()
                    return True
        return False

    def _trial(self) -> bool:
        marked = self._whole.marked()
        alive = []
        for path in sorted(self._pids.iterdir()):
            with contextlib.suppress(ValueError):
                if (pid := int(path.read_text())) in marked:
                    alive.append((path.name, pid))
        if not alive:
            return False
        name, pid = self._random.choice(alive)
        self.hit.add(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False


@pytest.mark.parametrize(
    ("kills", "jobs"),
    [
        pytest.param(9, 16, marks=pytest.mark.slow),
        pytest.param(100, 120, marks=[pytest.mark.accept, pytest.mark.timeout(1800)]),
    ],
)
def test_kills_at_random_moments(tmp_path: Path, kills: int, jobs: int) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    more = {"Environment": {"PIDS": str(pids)}}
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        # long enough that the sweep outlives the kills on a slow machine too
        hyper = {"pause": "0.2"}
        request = tuning(
            whole, "sweep", whole.put_script(), jobs=jobs, parallel=2, hyperparameters=hyper, **more
        )
        whole.client("sagemaker").create_hyper_parameter_tuning_job(**request)
        killer = Killer(whole, pids, seed=kills)
        while sum(killer.count.values()) < kills:
            found = whole.client("sagemaker").describe_hyper_parameter_tuning_job(
                HyperParameterTuningJobName="sweep"
            )
            assert found["HyperParameterTuningJobStatus"] not in ENDED, (
                f"over after {killer.count}: more jobs!"
            )
            killer.strike()
        ended = end_of_tuning(whole, "sweep", 600)
        trials = trials_of(whole.client("sagemaker"), "sweep")
        assert ended["HyperParameterTuningJobStatus"] == "Completed"
        assert len(trials) == jobs
        for trial in trials:
            _true(trial, hit=trial["TrainingJobName"] in killer.hit)
        best = max(value(trial) or 0.0 for trial in trials if trial["TrainingJobStatus"] == "Completed")
        told = ended["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"]
        assert told == pytest.approx(best)
        counters = ended["TrainingJobStatusCounters"]
        assert counters["Completed"] + counters["NonRetryableError"] == jobs
        # the same suggestions as nobody disturbed: Random, and a seed
        request = tuning(
            whole, "calm", whole.put_script(), jobs=jobs, parallel=2, hyperparameters={"pause": "0"}
        )
        whole.client("sagemaker").create_hyper_parameter_tuning_job(**request)
        end_of_tuning(whole, "calm", 600)
        calm = trials_of(whole.client("sagemaker"), "calm")
        assert [one["HyperParameters"]["rate"] for one in calm] == [
            one["HyperParameters"]["rate"] for one in trials
        ]
        for one, other in zip(calm, trials, strict=True):
            if other["TrainingJobStatus"] == "Completed":
                assert value(one) == value(other)
        print(f"killed: {killer.count}; failed trials: {counters['NonRetryableError']}")
    until(lambda: not whole.marked(), "the end of every process", 20)


def _true(trial: dict[str, Any], *, hit: bool) -> None:
    """What is said of a trial is what happened to it."""
    status = trial["TrainingJobStatus"]
    if status == "Completed":
        assert value(trial) == pytest.approx(final(trial))
        assert trial["ModelArtifacts"]["S3ModelArtifacts"]
    else:
        assert (status, hit) == ("Failed", True), trial
        assert "ExitCode -9" in trial["FailureReason"], trial["FailureReason"]
