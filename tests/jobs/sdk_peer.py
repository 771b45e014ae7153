"""The same tuning job through the SageMaker SDK, as a user of the SDK writes it; and what both send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.aws import BUCKET, REGION

NO_TELEMETRY = "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
IDENTITY = ("Name", "ChannelName", "Key", "HyperParameterTuningJobName")  # of a list's items


def record(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """From now on, the request of every tuning job that any boto3 client creates."""
    from botocore.session import Session

    requests: list[dict[str, Any]] = []
    make = Session.create_client

    def keep(params: dict[str, Any], **_: Any) -> None:
        requests.append(params)

    def recorded(self: Any, *args: Any, **settings: Any) -> Any:
        client = make(self, *args, **settings)
        event = "provide-client-params.sagemaker.CreateHyperParameterTuningJob"
        client.meta.events.register(event, keep)
        return client

    monkeypatch.setattr(Session, "create_client", recorded)
    return requests


def without_account(server: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the SDK needs to work with a server that is not AWS's; returns its config file."""
    config = folder / "sdk.yaml"
    config.write_text(NO_TELEMETRY)
    monkeypatch.setenv("SAGEMAKER_USER_CONFIG_OVERRIDE", str(config))
    monkeypatch.setenv("SAGEMAKER_VALIDATE_ROLE", "false")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    return config


def send(request: Mapping[str, Any], code: Path, job: Mapping[str, Any]) -> None:
    """``ModelTrainer`` and ``HyperparameterTuner.tune`` with the settings of a launch.

    Args:
        request: what the launch sent; generated names, keys and tags are taken from it.
        code: a folder that holds the entry script.
        job: the settings, as one writes them for the SDK.
    """
    import boto3
    from sagemaker.core.helper.session_helper import Session
    from sagemaker.core.shapes import Tag
    from sagemaker.core.training.configs import (
        CheckpointConfig,
        Compute,
        Networking,
        OutputDataConfig,
        SourceCode,
        StoppingCondition,
    )
    from sagemaker.train.model_trainer import ModelTrainer
    from sagemaker.train.tuner import HyperparameterTuner

    trial = request["TrainingJobDefinition"]
    trainer = ModelTrainer(
        sagemaker_session=Session(boto3.Session(region_name=REGION), default_bucket=BUCKET),
        role=trial["RoleArn"],
        training_image=trial["AlgorithmSpecification"]["TrainingImage"],
        source_code=SourceCode(source_dir=str(code), entry_script="src/sweepmaker/container/entry.py"),
        compute=Compute(**job["compute"]),
        networking=Networking(**job["networking"]),
        stopping_condition=StoppingCondition(**job["stopping"]),
        output_data_config=OutputDataConfig(**job["output"]),
        checkpoint_config=CheckpointConfig(s3_uri=trial["CheckpointConfig"]["S3Uri"]),
        training_input_mode=job["input_mode"],
        environment=trial["Environment"],
        hyperparameters=job["hyperparameters"],
        tags=[Tag(key=tag["Key"], value=tag["Value"]) for tag in request["Tags"]],
    )
    if "retry" in job:
        trainer.with_retry_strategy(job["retry"])
    tuner = HyperparameterTuner(
        trainer,
        metric_definitions=trial["AlgorithmSpecification"]["MetricDefinitions"],
        **job["tuner"],
    )
    if "instances" in job:
        tuner.override_resource_config(job["instances"])
    name = f"sdk-{request['HyperParameterTuningJobName'][-20:]}"
    tuner.tune(inputs=job["inputs"], job_name=name, wait=False)


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a request with its path; items of lists by their names."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list) and any(isinstance(item, Mapping) for item in node):
        for index, item in enumerate(node):
            named = next((str(item[key]) for key in IDENTITY if key in item), str(index))
            yield from flat(item, f"{path}[{named}]")
    else:
        yield path, node


def lacking(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """The outermost paths of ``ours`` that ``theirs`` has nothing of."""
    found = set()
    for path in ours:
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            outer = ".".join(parts[:end])
            if not any(other == outer or other.startswith((f"{outer}.", f"{outer}[")) for other in theirs):
                found.add(outer)
                break
    return found
