"""Is a job that exists the one that was asked for: which differences count."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.jobs.differences import _clipped, differences
from tests.jobs.aws import TUNING_ARN, tuning_request


def compare(change: Callable[[dict[str, Any]], None]) -> list[str]:
    described = copy.deepcopy(tuning_request())
    described["TrainingJobDefinition"]["StaticHyperParameters"]["_tuning_objective_metric"] = (
        "valid/top1_best"
    )
    described |= {"HyperParameterTuningJobStatus": "InProgress", "HyperParameterTuningJobArn": TUNING_ARN}
    del described["Tags"]
    change(described)
    model = botocore.session.Session().get_service_model("sagemaker")
    shape = model.operation_model("DescribeHyperParameterTuningJob").output_shape
    return differences(tuning_request(), described, shape)


def test_what_the_service_adds_is_no_difference() -> None:
    def add(job: dict[str, Any]) -> None:
        config, trial = job["HyperParameterTuningJobConfig"], job["TrainingJobDefinition"]
        config["TrainingJobEarlyStoppingType"] = "Off"
        del trial["EnableManagedSpotTraining"]
        trial["OutputDataConfig"]["KmsKeyId"] = ""
        ranges = config["ParameterRanges"]
        ranges["ContinuousParameterRanges"][0]["MinValue"] = "0.0001"
        ranges["CategoricalParameterRanges"][0]["Values"] = ["16", "8"]
        ranges["IntegerParameterRanges"] = []

    assert compare(add) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda c, t: c["ResourceLimits"].update(MaxParallelTrainingJobs=2), "ResourceLimits.MaxParallel"),
        (lambda c, t: c.update(RandomSeed=None), "RandomSeed: wanted 0, there nothing"),
        (
            lambda c, t: c["ParameterRanges"]["ContinuousParameterRanges"][0].update(MaxValue="0.2"),
            "MaxValue",
        ),
        (lambda c, t: c["ParameterRanges"]["ContinuousParameterRanges"].append({"Name": "x"}), "Continuous"),
        (lambda c, t: c["ParameterRanges"]["CategoricalParameterRanges"][0].update(Values=["8"]), "Values"),
        (lambda c, t: t["StaticHyperParameters"].update(extra="1"), "StaticHyperParameters.extra"),
        (lambda c, t: t["StaticHyperParameters"].pop("sagemaker_program"), "sagemaker_program"),
        (lambda c, t: t.update(EnableManagedSpotTraining=True), "EnableManagedSpotTraining: wanted false"),
        (lambda c, t: t.pop("StoppingCondition"), "StoppingCondition: wanted {"),
    ],
)
def test_another_value_is_a_difference(change: Callable[[Any, Any], Any], path: str) -> None:
    found = compare(lambda job: change(job["HyperParameterTuningJobConfig"], job["TrainingJobDefinition"]))
    assert len(found) == 1
    assert path in found[0]


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner, max_size=3)))
def test_long_values_are_clipped(value: Any) -> None:
    assert len(_clipped(value)) <= 80
