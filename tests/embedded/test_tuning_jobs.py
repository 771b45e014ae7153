"""Tuning jobs of the embedded SageMaker, as plain boto3 sees them."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from launchers.embedded.faults import Faults
from launchers.embedded.root import Root
from tests.embedded.sweeping import SCRIPT, Whole, end_of_tuning, trials_of, tuning, until

FAST = ("runtime=fork", "poll_s=0.02", "checkpoint_s=0.1", "stop_grace_s=2")
CATEGORIES = {
    "ParameterRanges": {
        "CategoricalParameterRanges": [
            {"Name": "rate", "Values": ["0.9", "0.1", "0.5"]}, {"Name": "pause", "Values": ["0", "0.01"]},
        ]
    },
    "RandomSeed": 7,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Whole(tmp_path_factory.mktemp("whole") / "root", *FAST) as found:
        yield found


def run(
    whole: Whole, name: str, script: str = SCRIPT, **more: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A tuning job to its end: its description, and its trials'."""
    client = whole.client("sagemaker")
    more.setdefault("hyperparameters", {"pause": "0", "epochs": "4"})
    client.create_hyper_parameter_tuning_job(**tuning(whole, name, whole.put_script(script), **more))
    return end_of_tuning(whole, name), trials_of(client, name)


def rates(trials: list[dict[str, Any]]) -> list[float]:
    return [float(one["HyperParameters"]["rate"]) for one in trials]


def test_grid_tries_every_combination_and_names_the_best(whole: Whole) -> None:
    client = whole.client("sagemaker")
    code = whole.put_script()
    request = tuning(
        whole,
        "grid",
        code,
        jobs=6,
        parallel=2,
        strategy="Grid",
        config=CATEGORIES,
        hyperparameters={"epochs": "3"},
    )
    client.create_hyper_parameter_tuning_job(**request)
    found, trials = end_of_tuning(whole, "grid"), trials_of(client, "grid")
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert [(one["HyperParameters"]["rate"], one["HyperParameters"]["pause"]) for one in trials] == [
        ("0.9", "0"), ("0.9", "0.01"), ("0.1", "0"), ("0.1", "0.01"), ("0.5", "0"), ("0.5", "0.01"),
    ]  # fmt: skip
    best = found["BestTrainingJob"]
    assert best["TunedHyperParameters"]["rate"] == "0.9"
    metric = best["FinalHyperParameterTuningJobObjectiveMetric"]
    assert (metric["MetricName"], metric["Value"]) == ("score", pytest.approx(0.9 * (1 - 0.5**3)))
    assert found["TrainingJobStatusCounters"] == {
        "Completed": 6, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0,
    }  # fmt: skip
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 6, "Pending": 0, "Failed": 0}
    assert found["ConsumedResources"]["RuntimeInSeconds"] >= 0
    assert found["CreationTime"] <= found["HyperParameterTuningEndTime"]
    for one in trials:
        assert one["HyperParameters"]["_tuning_objective_metric"] == "score"
        assert one["TuningJobArn"] == found["HyperParameterTuningJobArn"]


def test_the_order_by_objective(whole: Whole) -> None:
    _, trials = run(whole, "ordered", jobs=4, parallel=2)
    client = whole.client("sagemaker")
    found = client.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName="ordered", SortBy="FinalObjectiveMetricValue", SortOrder="Descending"
    )["TrainingJobSummaries"]
    assert [float(one["TunedHyperParameters"]["rate"]) for one in found] == sorted(
        rates(trials), reverse=True
    )


def test_no_more_at_a_time_than_asked_for(whole: Whole) -> None:
    _, trials = run(whole, "narrow", jobs=4, parallel=1)
    for one, following in itertools.pairwise(trials):
        assert one["TrainingEndTime"] <= following["TrainingStartTime"]


@pytest.mark.parametrize("strategy", ["Random", "Bayesian"])
def test_a_seed_means_the_same_suggestions(whole: Whole, strategy: str) -> None:
    _, one = run(whole, f"{strategy}-1".lower(), jobs=4, parallel=1, strategy=strategy)
    _, other = run(whole, f"{strategy}-2".lower(), jobs=4, parallel=1, strategy=strategy)
    assert rates(one) == rates(other)
    assert len(set(rates(one))) == 4


def test_hyperband_cuts_trials_short_and_keeps_what_they_had(whole: Whole) -> None:
    found, trials = run(
        whole, "hyperband", jobs=9, parallel=1, strategy="Hyperband",
        hyperparameters={"pause": "0.15", "epochs": "9"},
        config={"StrategyConfig": {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 9}}},
    )  # fmt: skip
    status = [one["TrainingJobStatus"] for one in trials]
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert status[0] == "Completed"
    assert "Stopped" in status
    assert found["TrainingJobStatusCounters"]["Stopped"] == status.count("Stopped")
    for one in trials:
        if one["TrainingJobStatus"] == "Stopped":
            assert one["SecondaryStatus"] == "Stopped"
            assert one["FinalMetricDataList"]
            assert "ModelArtifacts" in one


def test_it_says_how_many_trials_did_not_improve(whole: Whole) -> None:
    values = ["0.1", "0.9", "0.5", "0.2"]
    ranges = {"CategoricalParameterRanges": [{"Name": "rate", "Values": values}]}
    found, _ = run(
        whole, "improving", jobs=4, parallel=1, strategy="Grid", 
        config={"ParameterRanges": ranges, "RandomSeed": 1},
    )  # fmt: skip
    assert found["TuningJobCompletionDetails"] == {"NumberOfTrainingJobsObjectiveNotImproving": 2}


def test_a_target_ends_it_early(whole: Whole) -> None:
    found, trials = run(
        whole, "target", jobs=20, parallel=1,
        config={"TuningJobCompletionCriteria": {"TargetObjectiveMetricValue": 0.3}},
    )  # fmt: skip
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials) < 20
    assert max(rates(trials)) * (1 - 0.5**4) >= 0.3


def test_where_every_trial_fails_the_tuning_job_does(whole: Whole) -> None:
    found, trials = run(whole, "hopeless", "raise SystemExit(1)\n", jobs=3, parallel=2)
    assert found["HyperParameterTuningJobStatus"] == "Failed"
    assert found["FailureReason"].startswith("No training job succeeded")
    assert found["TrainingJobStatusCounters"]["NonRetryableError"] == len(trials) == 3
    assert "BestTrainingJob" not in found


def test_a_stop_stops_its_trials(whole: Whole) -> None:
    client = whole.client("sagemaker")
    request = tuning(whole, "stopped", whole.put_script(), jobs=9, parallel=2, hyperparameters={"pause": "5"})
    client.create_hyper_parameter_tuning_job(**request)
    until(lambda: len(trials_of(client, "stopped")) == 2, "two trials")
    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert end_of_tuning(whole, "stopped")["HyperParameterTuningJobStatus"] == "Stopped"
    assert [one["TrainingJobStatus"] for one in trials_of(client, "stopped")] == ["Stopped", "Stopped"]
    before = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    client.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")  # no effect, no error
    after = client.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName="stopped")
    assert after["LastModifiedTime"] == before["LastModifiedTime"]


def test_a_warm_start_knows_its_parents(whole: Whole) -> None:
    run(whole, "parent", jobs=3, parallel=1, strategy="Bayesian")
    client = whole.client("sagemaker")
    request = tuning(
        whole,
        "child",
        whole.put_script(),
        jobs=2,
        parallel=1,
        strategy="Bayesian",
        hyperparameters={"pause": "0", "epochs": "3"},
    )
    request["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    client.create_hyper_parameter_tuning_job(**request)
    found = end_of_tuning(whole, "child")
    assert found["OverallBestTrainingJob"]["TuningJobName"] in ("parent", "child")
    request["HyperParameterTuningJobName"] = "transferred"
    request["WarmStartConfig"]["WarmStartType"] = "TransferLearning"
    client.create_hyper_parameter_tuning_job(**request)
    found = end_of_tuning(whole, "transferred")
    assert "BestTrainingJob" in found and "OverallBestTrainingJob" not in found
    request["HyperParameterTuningJobName"] = "orphan"
    request["WarmStartConfig"]["ParentHyperParameterTuningJobs"][0]["HyperParameterTuningJobName"] = "nobody"
    with pytest.raises(ClientError, match="nobody"):
        client.create_hyper_parameter_tuning_job(**request)


def test_a_warm_start_is_refused_where_too_much_differs(whole: Whole) -> None:
    run(whole, "ancestor", jobs=2, parallel=2)
    client = whole.client("sagemaker")
    good = tuning(
        whole, "heir", whole.put_script(), jobs=2, parallel=1, hyperparameters={"pause": "0", "epochs": "4"}
    )
    good["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "ancestor"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }

    def refused(change: Callable[[dict[str, Any]], object], told: str) -> None:
        request = copy.deepcopy(good)
        change(request)
        with pytest.raises(ClientError, match=told):
            client.create_hyper_parameter_tuning_job(**request)

    def static(request: dict[str, Any]) -> dict[str, str]:
        found: dict[str, str] = request["TrainingJobDefinition"]["StaticHyperParameters"]
        return found

    def as_integer(request: dict[str, Any]) -> None:
        one = {"Name": "rate", "MinValue": "1", "MaxValue": "3"}
        request["HyperParameterTuningJobConfig"]["ParameterRanges"] = {"IntegerParameterRanges": [one]}

    def other_image(request: dict[str, Any]) -> None:
        request["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"] = "other"

    def other_data(request: dict[str, Any]) -> None:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{whole.said['bucket']}/other/"}
        channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
        request["TrainingJobDefinition"]["InputDataConfig"] = [channel]

    def too_many(request: dict[str, Any]) -> None:
        request["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxNumberOfTrainingJobs"] = 9_999

    refused(lambda request: static(request).update(more="1"), "number has to be the same")
    refused(as_integer, "rate is one of IntegerParameterRanges.*type has to be the same")
    refused(other_image, "another training image")
    refused(other_data, "another input data")
    refused(too_many, "2 of the parent tuning jobs count too; at most 10000")
    run(whole, "many", jobs=1, parallel=1, hyperparameters={f"h{n}": "0" for n in range(11)})
    good = tuning(
        whole, "heir", whole.put_script(), jobs=1, parallel=1,
        hyperparameters={f"h{n}": "1" for n in range(11)},
    )  # fmt: skip
    good["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "many"}],
        "WarmStartType": "TransferLearning",
    }
    refused(lambda _: None, "11 hyperparameters became static or have another")


def test_a_failed_trial_has_no_objective(whole: Whole) -> None:
    script = "print('[metric] score=0.5 epoch=0 step=1;', flush=True)\nraise SystemExit(1)\n"
    found, _ = run(whole, "printed", script, jobs=1, parallel=1)
    assert found["ObjectiveStatusCounters"] == {"Succeeded": 0, "Pending": 0, "Failed": 1}


def test_a_trial_without_a_machine_may_be_retried(whole: Whole) -> None:
    Faults(Root(whole.root)).ask_for("capacity", ["job=poor-*"])
    found, _ = run(whole, "poor", jobs=1, parallel=1)
    counters = found["TrainingJobStatusCounters"]
    assert (counters["RetryableError"], counters["NonRetryableError"]) == (1, 0)


def test_a_deleted_tuning_job_leaves_its_trials_to_nobody(whole: Whole) -> None:
    client = whole.client("sagemaker")
    _, before = run(whole, "reborn", jobs=3, parallel=2)
    client.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="reborn")
    found, trials = run(whole, "reborn", jobs=2, parallel=2)
    assert found["HyperParameterTuningJobStatus"] == "Completed"
    assert len(trials) == 2
    old = client.describe_training_job(TrainingJobName=before[0]["TrainingJobName"])
    assert old["TuningJobArn"] == found["HyperParameterTuningJobArn"]


def test_a_name_is_given_once(whole: Whole) -> None:
    run(whole, "once", jobs=1, parallel=1)
    with pytest.raises(ClientError) as caught:
        run(whole, "once", jobs=1, parallel=1)
    assert caught.value.response["Error"]["Code"] == "ResourceInUse"
