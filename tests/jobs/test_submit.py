"""One job for one launch, whatever breaks between sending and hearing of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import botocore.exceptions as raw
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from launchers.aws.account import mint_name
from launchers.aws.clients import Clients, connect
from launchers.jobs.submit import FILE, create, resume
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import ACCOUNT, REGION, SECRETS, TUNING_ARN, training_request, tuning_request

TUNING, TRAINING = "create_hyper_parameter_tuning_job", "create_training_job"


def kept(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / FILE).read_text())
    return content


def jobs(clients: Clients) -> list[str]:
    found = clients.sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    return sorted(job["HyperParameterTuningJobName"] for job in found)


class Line:
    """The line to the service, which can break: a function called before or after each create call."""

    def __init__(self, clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.before: Callable[[], None] = lambda: None
        self.after: Callable[[], None] = lambda: None
        send = clients.sagemaker.create_hyper_parameter_tuning_job

        def call(**request: Any) -> Any:
            self.calls += 1
            self.before()
            answer = send(**request)
            self.after()
            return answer

        monkeypatch.setattr(clients.sagemaker, TUNING, call)


@pytest.fixture
def line(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(clients, monkeypatch)


def broken() -> None:
    raise raw.ReadTimeoutError(endpoint_url="https://api.sagemaker")


# --- names


@given(st.text(max_size=80), st.sampled_from([32, 63]))
def test_minted_names_are_names(prefix: str, longest: int) -> None:
    name = mint_name(prefix, datetime(2026, 1, 2, 3, 4, 5), longest=longest)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert len(name) <= longest
    assert "260102-030405" in name


def test_minted_names_say_what_and_differ() -> None:
    now = datetime(2026, 11, 23, 22, 49, 8)
    names = {mint_name("b2/dogs_5", now) for _ in range(50)}
    assert len(names) == 50
    assert all(name.startswith("b2-dogs-5-261123-224908-") for name in names)
    assert mint_name("a very long experiment", now).startswith("a-very-long-2")


# --- sending


@pytest.mark.parametrize(
    ("operation", "request_", "kind"),
    [
        (TUNING, tuning_request(), "hyper-parameter-tuning-job"),
        (TRAINING, training_request(), "training-job"),
    ],
    ids=["tuning", "training"],
)
def test_a_job_is_created_and_kept(
    clients: Clients, tmp_path: Path, operation: str, request_: dict[str, Any], kind: str
) -> None:
    folder = tmp_path / "multirun" / "now"
    job = create(clients, operation, request_, folder)
    assert (job.name, job.existed) == (request_.get("TrainingJobName", "sweep-1"), False)
    assert job.arn == f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{job.name}"
    entry = kept(folder)
    assert (entry["state"], entry["arn"], entry["name"]) == ("sent", job.arn, job.name)
    assert (entry["operation"], entry["region"]) == (operation, REGION)
    assert entry["request"] == request_
    assert set(entry["where"]) == {"name", "region", "profile", "endpoint_url", "s3_endpoint_url"}
    assert list(folder.iterdir()) == [folder / FILE]


def test_the_name_is_on_the_disk_before_anything_is_sent(
    clients: Clients, line: Line, tmp_path: Path
) -> None:
    states: list[str] = []
    line.before = lambda: states.append(kept(tmp_path)["state"])
    create(clients, TUNING, tuning_request(), tmp_path)
    assert states == ["minted"]


def test_the_same_folder_again_is_the_same_job(clients: Clients, line: Line, tmp_path: Path) -> None:
    first = create(clients, TUNING, tuning_request(), tmp_path)
    again = create(clients, TUNING, tuning_request(), tmp_path)
    assert (again.arn, again.existed, line.calls) == (first.arn, True, 1)


def test_a_folder_of_another_job_is_refused(clients: Clients, line: Line, tmp_path: Path) -> None:
    create(clients, TUNING, tuning_request(), tmp_path)
    with pytest.raises(ConfigError, match=r"(?s)another job already \(sweep-1\).*resume="):
        create(clients, TUNING, tuning_request("sweep-2"), tmp_path)
    assert jobs(clients) == ["sweep-1"]


# --- the answer got lost


def test_a_lost_answer_is_found_by_name(clients: Clients, line: Line, tmp_path: Path) -> None:
    line.after = broken
    job = create(clients, TUNING, tuning_request(), tmp_path)
    assert (job.arn, job.existed, line.calls) == (TUNING_ARN, True, 1)
    assert kept(tmp_path)["state"] == "sent"


def test_a_request_that_never_arrived_is_sent_by_resume(clients: Clients, line: Line, tmp_path: Path) -> None:
    line.before = broken
    with pytest.raises(UserError, match=f"(?s)broke.*resume={tmp_path} sends the same request"):
        create(clients, TUNING, tuning_request(), tmp_path)
    assert (kept(tmp_path)["state"], jobs(clients)) == ("minted", [])
    line.before = lambda: None
    job = resume(tmp_path, clients)
    assert (job.name, job.existed, jobs(clients)) == ("sweep-1", False, ["sweep-1"])
    assert (resume(tmp_path, clients).existed, line.calls) == (True, 2)


def test_a_server_error_may_have_created_the_job(clients: Clients, line: Line, tmp_path: Path) -> None:
    def unwell() -> None:
        answer: Any = {"Error": {"Code": "InternalFailure"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
        raise raw.ClientError(answer, "CreateHyperParameterTuningJob")

    line.after = unwell
    assert create(clients, TUNING, tuning_request(), tmp_path).existed


def test_when_the_line_stays_down_the_first_error_is_told(
    clients: Clients, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line.before = broken
    monkeypatch.setattr(
        clients.sagemaker, "describe_hyper_parameter_tuning_job", lambda **_: broken(), raising=True
    )
    with pytest.raises(UserError, match=r"(?s)broke.*resume="):
        create(clients, TUNING, tuning_request(), tmp_path)


def test_killed_after_sending_resume_finds_the_job(clients: Clients, line: Line, tmp_path: Path) -> None:
    def killed() -> None:
        raise KeyboardInterrupt

    line.after = killed
    with pytest.raises(KeyboardInterrupt):
        create(clients, TUNING, tuning_request(), tmp_path)
    assert kept(tmp_path)["state"] == "minted"
    assert resume(tmp_path, clients).existed
    assert line.calls == 1


def test_resume_connects_as_the_folder_says(clients: Clients, tmp_path: Path) -> None:
    create(clients, TUNING, tuning_request(), tmp_path)
    assert resume(tmp_path).arn == TUNING_ARN


# --- the name is taken


def test_an_equal_job_is_success(clients: Clients, tmp_path: Path) -> None:
    create(clients, TUNING, tuning_request(), tmp_path / "one")
    job = create(clients, TUNING, tuning_request(), tmp_path / "other")
    assert (job.arn, job.existed) == (TUNING_ARN, True)


def test_another_request_under_the_name_lists_the_differences(
    clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create(clients, TUNING, tuning_request(), tmp_path / "one")
    other = tuning_request()
    other["HyperParameterTuningJobConfig"]["Strategy"] = "Bayesian"
    other["TrainingJobDefinition"]["RoleArn"] = f"arn:aws:iam::{ACCOUNT}:role/other"
    with pytest.raises(ConfigError) as raised:
        create(clients, TUNING, other, tmp_path / "other")
    text = str(raised.value)
    assert raised.value.key == "job.name"
    assert 'HyperParameterTuningJobConfig.Strategy: wanted "Bayesian", there "Random"' in text
    assert 'RoleArn: wanted "arn:aws:iam::1234****9012:role/other"' in text
    assert kept(tmp_path / "other")["state"] == "minted"
    assert not [secret for secret in SECRETS if secret in text + capsys.readouterr().err]


# --- refusals


def test_throttling_ends_with_a_message(clients: Clients, tmp_path: Path) -> None:
    with (
        Stubber(clients.sagemaker) as stub,
        pytest.raises(UserError, match=r"(?s)slow down.*resume=") as raised,
    ):
        stub.add_client_error(TUNING, "ThrottlingException", "Rate exceeded", 400)
        create(clients, TUNING, tuning_request(), tmp_path)
    assert "nothing is created twice" in str(raised.value.fix)
    assert "run it again" not in str(raised.value.fix)  # that would be a job of another name


def test_a_quota_is_named_and_resume_goes_on(clients: Clients, tmp_path: Path) -> None:
    message = "The account-level service limit 'ml.g5.xlarge for training job usage' is 0 Instances"
    with Stubber(clients.sagemaker) as stub, pytest.raises(UserError, match="Service Quotas") as raised:
        stub.add_client_error(TRAINING, "ResourceLimitExceeded", message, 400)
        create(clients, TRAINING, training_request(), tmp_path)
    assert f"resume={tmp_path}" in str(raised.value)


def test_a_bug_is_not_dressed_up(clients: Clients, tmp_path: Path, line: Line) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    line.before = bug
    with pytest.raises(ZeroDivisionError):
        create(clients, TUNING, tuning_request(), tmp_path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"operation": "delete_bucket"}'])
def test_a_folder_of_no_launch(clients: Clients, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigError, match=r"resume: .* is not the folder of a launched job"):
        resume(tmp_path, clients)


def test_resume_with_another_region_or_account(
    clients: Clients, where: dict[str, Any], line: Line, tmp_path: Path
) -> None:
    create(clients, TUNING, tuning_request(), tmp_path)
    with pytest.raises(ConfigError, match=r"where\.region=us-east-1"):
        resume(tmp_path, connect(where | {"region": "eu-west-1"}))
    clients.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="sweep-1")
    clients.__dict__["account"] = "999988887777"
    with pytest.raises(UserError, match=r"launched in account 1234\*\*\*\*9012"):
        resume(tmp_path, clients)
    assert line.calls == 1


def test_a_deleted_job_is_sent_again(clients: Clients, tmp_path: Path) -> None:
    create(clients, TUNING, tuning_request(), tmp_path)
    clients.sagemaker.delete_hyper_parameter_tuning_job(HyperParameterTuningJobName="sweep-1")
    assert not resume(tmp_path, clients).existed
    assert jobs(clients) == ["sweep-1"]
