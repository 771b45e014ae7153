"""Clients that know nothing of us: the SageMaker SDK and the AWS CLI, with what the server printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded.runtimes import namespace
from tests.embedded.sweeping import CHECKOUT, SCRIPT, Whole, definition, fixed, trials_of, tuning, until

SETTINGS = ("runtime=fork", "poll_s=0.02", "stop_grace_s=5")
CLI = CHECKOUT / ".venv-toolkit" / "bin" / "aws"
needs_cli = pytest.mark.skipif(not CLI.exists(), reason="the AWS CLI is missing: make toolkit")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Whole(tmp_path_factory.mktemp("whole") / "root", *SETTINGS) as found:
        yield found


def environment(whole: Whole, folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, **whole.said["environment"], "HOME": str(folder), "SAGEMAKER_VALIDATE_ROLE": "false"}


def sdk(whole: Whole, folder: Path, what: str) -> list[list[str]]:
    """The lines that the user's program prints, in words."""
    source = folder / "source"
    source.mkdir()
    (source / "train.py").write_text(SCRIPT)
    program = Path(__file__).with_name("sdk_client.py")
    done = subprocess.run(
        [sys.executable, str(program), what, str(source), whole.said["role"]],
        capture_output=True, text=True, timeout=200, env=environment(whole, folder), cwd=folder,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_the_sdk_tunes_waits_and_analyses(whole: Whole, tmp_path: Path) -> None:
    lines = sdk(whole, tmp_path, "tuner")
    assert ["STATUS", "Completed"] in lines
    trials = {words[1]: (float(words[2]), float(words[3])) for words in lines if words[0] == "TRIAL"}
    assert len(trials) == 3
    for rate, value in trials.values():
        assert value == pytest.approx(rate * (1 - 0.5**3), abs=1e-5)
    (best,) = [words[1] for words in lines if words[0] == "BEST"]
    assert best == max(trials, key=lambda name: trials[name][1])


@pytest.mark.slow
def test_the_sdk_trains(whole: Whole, tmp_path: Path) -> None:
    if (reason := namespace.available()) is not None:
        pytest.skip(f"the SDK's own start script needs a literal /opt/ml: {reason}")
    lines = sdk(whole, tmp_path, "trainer")
    (status,) = [words for words in lines if words[0] == "STATUS"]
    assert status[1] == "Completed"
    assert status[2].endswith("model.tar.gz")


def cli(whole: Whole, folder: Path, *words: str, **env: str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [str(CLI), *words, "--output", "json"], capture_output=True, text=True, timeout=120,
        env={**environment(whole, folder), **env}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr


@pytest.mark.slow
@needs_cli
def test_the_aws_cli(whole: Whole, tmp_path: Path) -> None:
    code = whole.put_script()
    request = {
        "TrainingJobName": "cli",
        "HyperParameters": fixed(code, rate="0.5", epochs="2", pause="0"),
        **definition(whole, code),
    }
    (tmp_path / "job.json").write_text(json.dumps(request))
    (tmp_path / "tuning.json").write_text(
        json.dumps(tuning(whole, "cli-tuning", code, jobs=2, parallel=2, hyperparameters={"pause": "0"}))
    )

    def sagemaker(*words: str) -> Any:
        ended, found, told = cli(whole, tmp_path, "sagemaker", *words)
        assert ended == 0, told
        return found

    made = sagemaker("create-training-job", "--cli-input-json", f"file://{tmp_path}/job.json")
    assert made["TrainingJobArn"].endswith("training-job/cli")
    sagemaker("create-hyper-parameter-tuning-job", "--cli-input-json", f"file://{tmp_path}/tuning.json")

    def status() -> str:
        return str(sagemaker("describe-training-job", "--training-job-name", "cli")["TrainingJobStatus"])

    until(lambda: status() == "Completed", "the end of the job", 240)
    listed = sagemaker("list-training-jobs", "--name-contains", "cli", "--max-items", "1")
    assert len(listed["TrainingJobSummaries"]) == 1
    assert "NextToken" in listed
    found = sagemaker(
        "list-training-jobs-for-hyper-parameter-tuning-job", "--hyper-parameter-tuning-job-name", "cli-tuning"
    )
    names = {one["TrainingJobName"] for one in found["TrainingJobSummaries"]}
    assert names <= {one["TrainingJobName"] for one in trials_of(whole.client("sagemaker"), "cli-tuning")}


@pytest.mark.slow
@needs_cli
def test_the_aws_cli_on_s3_sts_and_its_refusals(whole: Whole, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    bucket = whole.said["bucket"]
    put = [str(CLI), "s3", "cp", str(tmp_path / "file"), f"s3://{bucket}/cli/file"]
    subprocess.run(put, check=True, capture_output=True, env=environment(whole, tmp_path), timeout=60)
    assert (
        cli(whole, tmp_path, "s3api", "head-object", "--bucket", bucket, "--key", "cli/file")[1][
            "ContentLength"
        ]
        == 7
    )
    assert cli(whole, tmp_path, "sts", "get-caller-identity")[1]["Account"] == "123456789012"
    ended, _, told = cli(whole, tmp_path, "sagemaker", "list-training-jobs", AWS_SECRET_ACCESS_KEY="another")
    assert ended != 0
    assert "SignatureDoesNotMatch" in told or "signature" in told.lower()
    ended, _, told = cli(whole, tmp_path, "sagemaker", "list-domains")
    assert ended != 0
    assert "ListDomains" in told
