"""The search that a request asks for: of ours as sent, and of others."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded.search import Range, Search, Spec
from launchers.limits import violations
from tests.jobs.aws import BUCKET, REGION, ROLE, tuning_request
from tests.jobs.launching import sweep
from tests.limits.good import GOOD, TUNING

LR = "lr=tag(log,interval(1e-4,1e-1))"
LR_RANGE = Range("lr", "continuous", 1e-4, 1e-1, "log")
BATCH_RANGE = Range("batch_size", "categorical", values=("8", "16", "32"))
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/own:1"
ACCOUNT = [f"where.region={REGION}", f"where.role='{ROLE}'", f"where.bucket={BUCKET}", f"job.image='{IMAGE}'"]


def launched(capsys: pytest.CaptureFixture[str], folder: Path, *lines: str) -> dict[str, Any]:
    """The request that a launch would send."""
    sweep(folder, *ACCOUNT, "dry_run=true", "job.include_untracked=true", *lines)
    shown = json.loads(capsys.readouterr().out)
    request: dict[str, Any] = shown["request"]
    assert violations(shown["operation"], request) == []
    return request


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [LR, "batch_size=8,16,32", "job.seed=0", "job.max_jobs=6"],
            Spec("Bayesian", (LR_RANGE, BATCH_RANGE), True, 6, 2, seed=0, early_stopping=True),
        ),
        (
            [LR, "job.strategy=Random", "job.seed=5", "job.early_stopping=Off", "job.completion.target=0.9"],
            Spec("Random", (LR_RANGE,), True, 8, 2, seed=5, target=0.9),
        ),
        (
            [LR, "job.strategy=Hyperband", "epochs=27", "job.hyperband.min_epochs=3", "job.max_jobs=20"],
            Spec("Hyperband", (LR_RANGE,), True, 20, 2, seed=0, min_resource=3, max_resource=27),
        ),
        (
            ["batch_size=8,16,32", "job.strategy=Grid", "job.max_parallel_jobs=3"],
            Spec("Grid", (BATCH_RANGE,), True, 3, 3, seed=0, early_stopping=False),
        ),
        (
            [
                "epochs=int(interval(2,20))", "objective.mode=min", "objective.name=valid/loss",
                "job.strategy=Bayesian", "job.completion.not_improving_jobs=4",
                "job.completion.on_convergence=true", "job.seed=1",
            ],
            Spec(
                "Bayesian", (Range("epochs", "integer", 2, 20),), False, 8, 2, seed=1, early_stopping=True,
                not_improving=4, on_convergence=True,
            ),
        ),
    ],
    ids=["Bayesian", "Random", "Hyperband", "Grid", "criteria"],
)  # fmt: skip
def test_our_own_requests(
    lines: list[str], expected: Spec, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = launched(capsys, tmp_path / "sweep", *lines)
    seed = request["HyperParameterTuningJobConfig"].get("RandomSeed", 0)
    found = Spec.of_request({**request, "_seed": seed})
    assert replace(found, ranges=()) == replace(expected, ranges=())
    assert sorted(found.ranges, key=str) == sorted(expected.ranges, key=str)
    asked = Search(found).ask()
    assert asked is not None and asked[1].keys() == {one.name for one in found.ranges}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The request of the tests with one member set, or taken out (None)."""
    request: dict[str, Any] = copy.deepcopy(tuning_request())
    *parents, last = path.split(".")
    node = request["HyperParameterTuningJobConfig"]
    for name in parents:
        node = node.setdefault(name, {})
    if value is None:
        node.pop(last)
    else:
        node[last] = value
    return request


def test_a_full_request() -> None:
    found = Spec.of_request({**GOOD[TUNING], "_seed": 3})
    assert found == Spec(
        "Bayesian",
        (
            Range("optimizer.lr", "continuous", 1e-4, 0.1, "log"),
            Range("ema", "continuous", 0.0, 0.999, "reverse_log"),
            Range("++model.depth", "integer", -1, 5, "linear"),
            Range("model@net", "categorical", values=("small", "'a b'", "[1,2]")),
        ),
        maximize=True, max_jobs=20, max_parallel=4, seed=3, early_stopping=True, target=1.0,
        not_improving=3, on_convergence=True,
    )  # fmt: skip
    assert Search(found).ask() is not None


def test_a_small_request() -> None:
    found = Spec.of_request(tuning_request())
    assert found == Spec(
        "Random",
        (LR_RANGE, Range("batch_size", "categorical", values=("8", "16"))),
        maximize=True,
        max_jobs=2,
    )


def test_bounds_are_what_was_written() -> None:
    ranges = {
        "IntegerParameterRanges": [{"Name": "n", "MinValue": "8", "MaxValue": str(2**60 + 1)}],
        "ContinuousParameterRanges": [{"Name": "x", "MinValue": "1e-05", "MaxValue": "1"}],
    }
    found = {one.name: one for one in Spec.of_request(changed("ParameterRanges", ranges)).ranges}
    assert found["n"].low == 8 and found["n"].high == 2**60 + 1  # a float would not hold it
    assert (found["x"].low, found["x"].high, found["x"].scale) == (1e-05, 1.0, "auto")


def test_without_a_number_of_jobs() -> None:
    """Of a grid every combination, of others as many as the service allows."""
    assert Spec.of_request(changed("ResourceLimits", {"MaxParallelTrainingJobs": 1})).max_jobs == 750
    request = changed("ResourceLimits", {"MaxParallelTrainingJobs": 3})
    request["HyperParameterTuningJobConfig"] |= {
        "Strategy": "Grid",
        "ParameterRanges": {
            "CategoricalParameterRanges": [
                {"Name": "a", "Values": ["1", "2"]},
                {"Name": "b", "Values": ["x", "y", "z"]},
            ]
        },
    }
    found = Spec.of_request(request)
    assert (found.max_jobs, found.max_parallel) == (6, 3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"MinResource": 2, "MaxResource": 18}, (2, 18)),
        ({"MinResource": 2}, (2, 12)),
        ({}, (None, 12)),
    ],
)
def test_hyperband_resources(given: dict[str, int], expected: tuple[int | None, int | None]) -> None:
    """Without a largest resource, it is the number of epochs that is the same for all trials."""
    request = changed("StrategyConfig.HyperbandStrategyConfig", given)
    request["HyperParameterTuningJobConfig"]["Strategy"] = "Hyperband"
    request["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "12"
    found = Spec.of_request(request)
    assert (found.min_resource, found.max_resource) == expected


def test_the_objective_of_a_minimum() -> None:
    objective = {"Type": "Minimize", "MetricName": "valid/loss"}
    assert not Spec.of_request(changed("HyperParameterTuningJobObjective", objective)).maximize


@pytest.mark.parametrize("target", [0, 0.0, -1.5])
def test_a_target_of_nothing_is_one(target: float) -> None:
    path = "TuningJobCompletionCriteria.TargetObjectiveMetricValue"
    assert Spec.of_request(changed(path, target)).target == target
