"""A whole embedded SageMaker as its users start it, and tuning jobs of a small script for it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import boto3
import psutil
from botocore.config import Config

from launchers.embedded.runtimes.order import ROOT_MARK

CHECKOUT = Path(__file__).resolve().parents[2]
REGEX = r"\[metric\] score=([-+.0-9e]+) "
ENDED = ("Completed", "Failed", "Stopped")
DEADLINE_S = 60.0

# Ten epochs; the score after each follows from the rate alone. It goes on from its checkpoint.
SCRIPT = """\
import argparse, os, pathlib, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--pause", type=float, default=0.05)
options, _ = parser.parse_known_args()
name = os.environ["TRAINING_JOB_NAME"]
if "PIDS" in os.environ:
    pathlib.Path(os.environ["PIDS"], name).write_text(str(os.getpid()))
folder = pathlib.Path("/opt/ml/checkpoints", name)
folder.mkdir(parents=True, exist_ok=True)
kept = folder / "epoch"
begin = int(kept.read_text()) if kept.exists() else 0
for epoch in range(begin, options.epochs):
    time.sleep(options.pause)
    score = options.rate * (1 - 0.5 ** (epoch + 1))
    print(f"[metric] score={score:.6f} epoch={epoch} step={epoch};", flush=True)
    part = folder / ".part"
    part.write_text(str(epoch + 1))
    part.replace(kept)
pathlib.Path(os.environ["SM_MODEL_DIR"], "rate").write_text(str(options.rate))
"""


class Said(Protocol):
    """What says where things are."""

    said: dict[str, Any]


class Whole:
    """The server of ``root`` as a process of its own.

    Args:
        root: its folder.
        settings: ``key=value`` words.
    """

    def __init__(self, root: Path, *settings: str) -> None:
        self.root = root
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.said: dict[str, Any] = {}

    def __enter__(self) -> Whole:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start it, also after `kill`."""
        self.root.mkdir(exist_ok=True)
        words = [sys.executable, "-m", "launchers.embedded", "--root", str(self.root), "--port", "0"]
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with (self.root / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [*words, *self._settings],
                cwd=CHECKOUT,
                env=env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.root / "server.log").read_text()
        self.said = json.loads(line)

    def kill(self) -> None:
        """SIGKILL, as when the machine ran out of memory."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def client(self, service: str) -> Any:
        """A client made of what the server said and nothing else."""
        told = self.said["environment"]
        return boto3.session.Session().client(
            service,
            endpoint_url=told["AWS_ENDPOINT_URL"],
            region_name=told["AWS_REGION"],
            aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}, proxies={}, read_timeout=30),
        )

    def put_script(self, text: str = SCRIPT) -> str:
        """The address of an archive with ``train.py``."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("train.py")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
        key = "code/sourcedir.tar.gz"
        self.client("s3").put_object(Bucket=self.said["bucket"], Key=key, Body=buffer.getvalue())
        return f"s3://{self.said['bucket']}/{key}"

    def marked(self) -> set[int]:
        """Processes that belong to this root, the server's own left out."""
        found = set()
        for one in psutil.process_iter():
            try:
                if one.environ().get(ROOT_MARK) == str(self.root) and one.status() != psutil.STATUS_ZOMBIE:
                    found.add(one.pid)
            except (psutil.Error, OSError):
                continue
        return found


def definition(whole: Said, code: str, **more: Any) -> dict[str, Any]:
    """What a training job and the trials of a tuning job have in common."""
    bucket = whole.said["bucket"]
    return {
        "AlgorithmSpecification": {
            "TrainingImage": "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch:2",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "score", "Regex": REGEX}],
        },
        "RoleArn": whole.said["role"],
        "OutputDataConfig": {"S3OutputPath": f"s3://{bucket}/jobs"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "CheckpointConfig": {"S3Uri": f"s3://{bucket}/checkpoints"},
        **more,
    }


def fixed(code: str, **hyperparameters: str) -> dict[str, str]:
    """Hyperparameters that name the script, and others."""
    return {"sagemaker_program": "train.py", "sagemaker_submit_directory": code, **hyperparameters}


def tuning(
    whole: Said,
    name: str,
    code: str,
    *,
    jobs: int,
    parallel: int,
    strategy: str = "Random",
    config: Mapping[str, Any] | None = None,
    hyperparameters: Mapping[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A complete request of CreateHyperParameterTuningJob."""
    return {
        "HyperParameterTuningJobName": name,
        "HyperParameterTuningJobConfig": {
            "Strategy": strategy,
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": {"MaxNumberOfTrainingJobs": jobs, "MaxParallelTrainingJobs": parallel},
            "ParameterRanges": {
                "ContinuousParameterRanges": [
                    {"Name": "rate", "MinValue": "0.1", "MaxValue": "1", "ScalingType": "Linear"}
                ]
            },
            "RandomSeed": 7,
            **(config or {}),
        },
        "TrainingJobDefinition": {
            **definition(whole, code, **more),
            "StaticHyperParameters": fixed(code, **(hyperparameters or {})),
        },
    }


def trials_of(sagemaker: Any, name: str) -> list[dict[str, Any]]:
    """The Describe answers of all trials of a tuning job, in order of their names."""
    pages = sagemaker.get_paginator("list_training_jobs_for_hyper_parameter_tuning_job").paginate(
        HyperParameterTuningJobName=name, SortBy="Name", SortOrder="Ascending"
    )
    names = [one["TrainingJobName"] for page in pages for one in page["TrainingJobSummaries"]]
    return [sagemaker.describe_training_job(TrainingJobName=one) for one in names]


def until(done: Callable[[], Any], what: str, seconds: float = DEADLINE_S) -> Any:
    """What ``done`` returns as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, f"{what}: not in {seconds:g} s"
        time.sleep(0.05)
    return found


def end_of_tuning(whole: Whole, name: str, seconds: float = DEADLINE_S) -> dict[str, Any]:
    """The Describe answer of a tuning job that has ended."""
    sagemaker = whole.client("sagemaker")

    def ended() -> Any:
        found = sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
        return found if found["HyperParameterTuningJobStatus"] in ENDED else None

    found: dict[str, Any] = until(ended, f"the end of {name}", seconds)
    return found
