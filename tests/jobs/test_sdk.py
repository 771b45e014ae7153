"""The SDK's own object for a tuning job of ours."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from launchers.aws.clients import Clients
from launchers.jobs.sdk import tuner
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import REGION, ROLE, tuning_request
from tests.jobs.launching import CHECKOUT
from tests.jobs.sdk_peer import record, without_account

pytestmark = pytest.mark.slow  # importing the SDK takes seconds

TELEMETRY = f"sm-pysdk-t-{REGION}.s3.{REGION}.amazonaws.com"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that are looked up, the loopback interface apart; none of them is reached."""
    hosts: list[str] = []
    look_up = socket.getaddrinfo

    def local_only(host: Any, *rest: Any, **settings: Any) -> Any:
        if host in ("127.0.0.1", "localhost"):
            return look_up(host, *rest, **settings)
        hosts.append(str(host))
        raise socket.gaierror(f"{host} is not to be reached from a test")

    monkeypatch.setattr(socket, "getaddrinfo", local_only)
    return hosts


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests of every tuning job that is created."""
    return record(monkeypatch)


@pytest.fixture
def sdk_config(where: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The SDK's config file, and what else it needs to work without an account."""
    return without_account(where["endpoint_url"], tmp_path, monkeypatch)


def job_request(**definition: Any) -> dict[str, Any]:
    """A tuning job with everything that the SDK's tuner has a place for."""
    request = tuning_request()
    config = request["HyperParameterTuningJobConfig"]
    config |= {"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Off", "RandomSeed": 7}
    bounds = {"MinResource": 1, "MaxResource": 9}
    config["StrategyConfig"] = {"HyperbandStrategyConfig": bounds}
    config["TuningJobCompletionCriteria"] = {"TargetObjectiveMetricValue": 0.9}
    config["ResourceLimits"]["MaxRuntimeInSeconds"] = 7200
    config["ParameterRanges"]["IntegerParameterRanges"] = [
        {"Name": "epochs", "MinValue": "1", "MaxValue": "9", "ScalingType": "Linear"}
    ]
    parents = [{"HyperParameterTuningJobName": "sweep-0"}]
    request["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": parents,
        "WarmStartType": "TransferLearning",
    }
    request["TrainingJobDefinition"] |= definition
    return request


def test_the_object_has_what_the_job_was_given(clients: Clients, asked: list[str]) -> None:
    request = job_request(Environment={"A": "1"}, EnableNetworkIsolation=True)
    clients.sagemaker.create_hyper_parameter_tuning_job(**request)
    made = tuner("sweep-1", clients)
    from sagemaker.train.tuner import HyperparameterTuner

    assert isinstance(made, HyperparameterTuner)
    ranges = made._hyperparameter_ranges
    assert {name: type(one).__name__ for name, one in ranges.items()} == {
        "lr": "ContinuousParameter", "epochs": "IntegerParameter", "batch_size": "CategoricalParameter",
    }  # fmt: skip
    assert ranges["lr"].as_tuning_range("lr") == {
        "Name": "lr", "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": "Logarithmic",
    }  # fmt: skip
    assert (ranges["epochs"].min_value, ranges["epochs"].max_value) == (1, 9)
    assert ranges["epochs"].scaling_type == "Linear"
    assert ranges["batch_size"].values == ["8", "16"]
    assert (made.objective_metric_name, made.objective_type) == ("valid/top1_best", "Maximize")
    assert [one["Name"] for one in made.metric_definitions] == ["valid/top1_best"]
    assert (made.strategy, made.early_stopping_type, made.random_seed) == ("Hyperband", "Off", 7)
    assert (made.max_jobs, made.max_parallel_jobs, made.max_runtime_in_seconds) == (2, 1, 7200)
    assert made.strategy_config.hyperband_strategy_config.max_resource == 9
    assert made.completion_criteria_config.target_objective_metric_value == 0.9
    parents = made.warm_start_config.parent_hyper_parameter_tuning_jobs
    assert [one.hyper_parameter_tuning_job_name for one in parents] == ["sweep-0"]
    trainer = made.model_trainer
    assert (trainer.role, trainer.environment) == (ROLE, {"A": "1"})
    assert trainer.compute.instance_type == "ml.m5.large"
    assert trainer.networking.enable_network_isolation is True
    assert asked == []  # nothing but the address of `where`: not IAM either


def test_the_object_asks_the_server_of_where(
    where: dict[str, Any], clients: Clients, sent: list[dict[str, Any]]
) -> None:
    clients.sagemaker.create_hyper_parameter_tuning_job(**tuning_request())
    made = tuner("sweep-1", where)
    assert made.describe().hyper_parameter_tuning_job_status == "Completed"
    assert made.best_training_job() == "FakeTrainingJobName"  # what moto answers
    analytics = made.analytics()
    assert set(analytics.tuning_ranges) == {"lr", "batch_size"}
    assert analytics.description()["HyperParameterTuningJobName"] == "sweep-1"
    made.tune(job_name="sweep-2", wait=False)
    assert sent[-1]["HyperParameterTuningJobName"] == "sweep-2"
    assert tuner("sweep-2", where).max_jobs == made.max_jobs


def test_a_list_of_machines_and_no_objective(clients: Clients) -> None:
    request = tuning_request()
    del request["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    definition = request["TrainingJobDefinition"]
    del definition["ResourceConfig"], definition["AlgorithmSpecification"]["MetricDefinitions"]
    machines = [{"InstanceType": f"ml.g{n}.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 50} for n in (5, 6)]
    definition["HyperParameterTuningResourceConfig"] = {"InstanceConfigs": machines}
    clients.sagemaker.create_hyper_parameter_tuning_job(**request)
    made = tuner("sweep-1", clients)
    assert made.objective_metric_name is None
    assert made.model_trainer.compute.instance_type == "ml.g5.xlarge"
    assert [one.instance_type for one in made.instance_configs] == ["ml.g5.xlarge", "ml.g6.xlarge"]


def test_several_definitions_and_unknown_jobs_are_refused(clients: Clients) -> None:
    request = tuning_request()
    definition = request.pop("TrainingJobDefinition")
    request["TrainingJobDefinitions"] = [definition | {"DefinitionName": name} for name in "ab"]
    clients.sagemaker.create_hyper_parameter_tuning_job(**request)
    with pytest.raises(ConfigError, match="2 training definitions"):
        tuner("sweep-1", clients)
    with pytest.raises(UserError, match="nope"):
        tuner("nope", clients)


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sagemaker.train.tuner", None)
    with pytest.raises(ConfigError) as caught:
        tuner("sweep-1", {})
    assert "pip install 'sagemaker" in str(caught.value)


def test_the_sdk_is_loaded_when_it_is_asked_for() -> None:
    seen = "import sys, launchers.jobs.sdk; print(any(name.startswith('sagemaker') for name in sys.modules))"
    found = subprocess.run([sys.executable, "-c", seen], cwd=CHECKOUT, capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr


@pytest.mark.parametrize("wanted", [False, True])
def test_telemetry_only_where_the_user_wants_it(
    wanted: bool, clients: Clients, sdk_config: Path, asked: list[str]
) -> None:
    opt_out = "Modules: {TelemetryOptOut: false}" if wanted else ""
    sdk_config.write_text(f"SchemaVersion: '1.0'\nSageMaker: {{PythonSDK: {{{opt_out}}}}}\n")
    clients.sagemaker.create_hyper_parameter_tuning_job(**tuning_request())
    made = tuner("sweep-1", clients)
    made.describe()
    made.tune(job_name="sweep-2", wait=False)
    made.model_trainer.train(wait=False)  # reports itself, unlike tune
    for thread in threading.enumerate():
        if thread.name == "sagemaker-telemetry":
            thread.join()
    assert (TELEMETRY in asked) == wanted
    assert set(asked) <= {TELEMETRY}
