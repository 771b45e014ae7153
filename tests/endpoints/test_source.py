"""Which model a job's name stands for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from launchers.aws.clients import Clients, connect
from launchers.endpoints import source
from sweepmaker.config.errors import UserError
from tests.jobs.aws import ENVIRONMENT
from tests.jobs.service import Service, serving


class Jobs(Service):
    """With models, where a test says so."""

    address = ""

    def _DescribeTrainingJob(self, body: dict[str, Any]) -> dict[str, Any]:
        found = super()._DescribeTrainingJob(body)
        return {**found, "ModelArtifacts": {"S3ModelArtifacts": self.address}}


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def clients(jobs: Jobs) -> Iterator[Clients]:
    with mock.patch.dict("os.environ", ENVIRONMENT), serving(jobs) as address:
        yield connect({"name": "sagemaker", "region": "us-east-1", "endpoint_url": address})


@pytest.mark.parametrize(
    ("status", "action"), [("InProgress", "watch"), ("Completed", "collect"), ("Failed", "collect")]
)
def test_a_tuning_job_without_a_best_trial(jobs: Jobs, clients: Clients, status: str, action: str) -> None:
    jobs.status = status
    jobs.trial(1, "Failed")
    with pytest.raises(UserError, match=f"sweep-1 has no best trial: it is {status}") as caught:
        source.of_job(clients, "sweep-1")
    assert caught.value.fix == f"python launch.py action={action} job.name=sweep-1 where=sagemaker"


def test_a_job_that_has_left_no_model(jobs: Jobs, clients: Clients) -> None:
    jobs.status = "Completed"
    trial = jobs.trial(1, "Completed", 0.5)
    with pytest.raises(UserError, match=f"{trial} has left no model: it is Completed") as caught:
        source.of_job(clients, "sweep-1")
    assert "action=collect job.name=sweep-1" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("left", "address"),
    [
        ("s3://b/t/output/model.tar.gz", "s3://b/t/output/model.tar.gz"),
        ("s3://b/t/output/model", "s3://b/t/output/model/"),
        ("s3://b/t/output/model/", "s3://b/t/output/model/"),
    ],
)
def test_the_best_trials_own_artifact(
    jobs: Jobs, clients: Clients, left: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.status, jobs.address = "Completed", left
    jobs.trial(1, "Completed", 0.5)
    best = jobs.trial(2, "Completed", 0.75)
    found = source.of_job(clients, "sweep-1")
    assert found is not None
    assert (found.run, found.address, found.folder) == (best, address, None)
    told = capsys.readouterr().err
    assert f"best: {best}  valid/top1_best=0.75" in told
    assert "so far" not in told


def test_the_best_trial_of_a_job_that_goes_on_is_the_best_so_far(
    jobs: Jobs, clients: Clients, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.address = "s3://b/t/output/model.tar.gz"
    jobs.trial(1, "Completed", 0.5)
    assert source.of_job(clients, "sweep-1") is not None
    assert "the tuning job sweep-1 is InProgress: this is its best trial so far" in capsys.readouterr().err


def test_no_job_of_that_name(clients: Clients) -> None:
    assert source.of_job(clients, "nothing-of-that-name") is None
