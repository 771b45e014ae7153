"""``launch.py action=...`` and a launch that stays: which job is meant, what is printed, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.aws.clients import Clients
from launchers.jobs import standing
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs.aws import ENVIRONMENT, REGION
from tests.jobs.launching import CHECKOUT, sweep
from tests.jobs.service import Service, serving
from tests.jobs.test_collect import RECORD, packed, put

LR = "lr=tag(log,interval(1e-4,1e-1))"


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def lines(
    service: Service, where: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[str]]:
    """Lead to the service for jobs, and to the tests' S3; the folder in use is an empty one."""
    monkeypatch.chdir(tmp_path)
    keys = ("region", "s3_endpoint_url", "role", "bucket", "bucket_owner")
    with serving(service) as address:
        yield [f"where.endpoint_url='{address}'", *(f"where.{key}='{where[key]}'" for key in keys)]


def finished(service: Service, clients: Clients) -> list[str]:
    """A tuning job that has ended, and what its trials left."""
    names = [
        service.trial(1, "Completed", 0.5),
        service.trial(2, "Completed", 0.9),
        service.trial(3, "Failed"),
    ]
    for name in names[:2]:
        one = standing.Trial(name)
        put(clients, one, "output.tar.gz", packed({"run.json": json.dumps(RECORD).encode()}))
        put(clients, one, "model.tar.gz", packed({"model.json": b"{}"}))
    service.status = "Completed"
    return names


def test_collected_from_any_folder(
    service: Service, lines: list[str], clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = finished(service, clients)
    for _ in range(2):
        sweep(tmp_path / "x", "action=collect", "job.name=sweep-1", *lines)
        captured = capsys.readouterr()
        told = json.loads(captured.out)
        assert (told["status"], told["best"]["name"], told["best"]["value"]) == ("Completed", names[1], 0.9)
        assert told["best"]["command"] == "python train.py batch_size=8 lr=0.02"
        assert json.loads((Path(told["best"]["folder"]) / "run.json").read_text())["state"] == "completed"
    assert "0 collected, 3 unchanged" in captured.err and "to train it here: python train.py" in captured.err
    (folder,) = tmp_path.glob("multirun/*/*")
    assert str(folder) == str(tmp_path / told["folder"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "0", "1", "2", "multirun.yaml", "optimization_results.yaml",
    ]  # fmt: skip


def test_a_name_finds_the_folder_and_the_account_of_its_launch(
    service: Service, lines: list[str], clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(service, clients)
    folder = tmp_path / "multirun" / "2026-03-01" / "12-00-00"
    folder.mkdir(parents=True)
    addresses = {
        "endpoint_url": lines[0].partition("=")[2].strip("'"),
        "s3_endpoint_url": clients.where["s3_endpoint_url"],
    }
    node = {"name": "sagemaker", "region": REGION, "profile": None, **addresses}
    kept = {"format": 1, "name": "sweep-1", "operation": "create_hyper_parameter_tuning_job", "where": node,
            "region": REGION, "request": {}, "state": "sent", "arn": "arn"}  # fmt: skip
    (folder / "launch.json").write_text(json.dumps(kept))
    (folder / "multirun.yaml").write_text("overrides: [+experiment=b2, 'lr=1e-1,1e-2', batch_size=8]\n")
    sweep(tmp_path / "x", "action=watch")  # neither name nor account
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["folder"] == "multirun/2026-03-01/12-00-00" and "the latest launch: sweep-1" in captured.err
    assert told["best"]["command"] == "python train.py +experiment=b2 lr=0.02 batch_size=8"
    assert (folder / "1" / "model" / "model.json").exists()


def test_a_launch_stays_to_the_end(
    service: Service, lines: list[str], clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.then(lambda: None, lambda: service.trial(1), lambda: finished(service, clients))
    sweep(tmp_path / "sweep", *lines, "+experiment=b2", LR, "batch_size=8,16", "job.include_untracked=true")
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["name"] == service.name and told["folder"] == str(tmp_path / "sweep")
    assert told["best"]["command"] == "python train.py +experiment=b2 lr=0.02 batch_size=8"
    assert captured.err.index("sent: ") < captured.err.index("InProgress") < captured.err.index("3 collected")
    assert {"0", "1", "2", "launch.json", "multirun.yaml", "optimization_results.yaml"} == {
        path.name for path in (tmp_path / "sweep").iterdir()
    }


def test_a_look_without_waiting(
    service: Service, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.trial(1, phase="Training", value=0.25)
    sweep(tmp_path / "x", "action=attach", "job.name=sweep-1", "wait=false", *lines)
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["status"], told["best"]) == ("InProgress", None)
    assert "001-00000001  Training" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_stopped(
    service: Service, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path / "x", "action=stop", "job.name=sweep-1", *lines)
    assert json.loads(capsys.readouterr().out) == {"name": "sweep-1", "status": "Stopping"}
    assert service.calls.count("StopHyperParameterTuningJob") == 1
    service.status = "Stopped"
    sweep(tmp_path / "x", "action=stop", "job.name=sweep-1", *lines)
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "Stopped" and "nothing to stop" in captured.err
    assert service.calls.count("StopHyperParameterTuningJob") == 1


def test_listed(
    service: Service, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.trial(1)
    sweep(tmp_path / "x", "action=list", *lines)
    shown = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[2] for line in shown) == ["alone-260301-120000-abcdef", "sweep-1"]


def test_a_failed_job_is_collected_and_fails(
    service: Service, lines: list[str], clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(service, clients)
    service.status, service.reason = "Failed", "No training job succeeded in 123456789012"
    with pytest.raises(UserError, match=r"sweep-1 failed: No training job succeeded in 1234\*{4}9012"):
        sweep(tmp_path / "x", "action=watch", "job.name=sweep-1", *lines)
    assert json.loads(capsys.readouterr().out)["status"] == "Failed"
    assert len(list(tmp_path.glob("multirun/*/*/*/run.json"))) == 3


def test_no_name_and_no_launch(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"job\.name: is needed(?s:.*)action=list"):
        sweep(tmp_path / "x", "action=stop", *lines)


@pytest.mark.parametrize("name", ["../x", "a" * 64, "x y"])
def test_names_that_no_job_has(name: str, lines: list[str], tmp_path: Path, service: Service) -> None:
    with pytest.raises(ConfigError, match=r"job\.name"):
        sweep(tmp_path / "x", "action=collect", f"job.name='{name}'", *lines)
    assert service.calls == []


def test_the_time_of_a_job_belongs_to_one(
    service: Service, lines: list[str], clients: Clients, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    finished(service, clients)
    sweep(tmp_path / "x", "action=collect", "job.name=sweep-1", *lines)
    first = json.loads(capsys.readouterr().out)["folder"]
    (tmp_path / first / "multirun.yaml").write_text("job: {name: another}\n")
    sweep(tmp_path / "x", "action=collect", "job.name=sweep-1", *lines)
    assert json.loads(capsys.readouterr().out)["folder"] == f"{first}-sweep-1"


def command(lines: list[str], *more: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, **ENVIRONMENT, "AWS_ENDPOINT_URL_STS": lines[2].partition("=")[2].strip("'")}
    return subprocess.Popen(
        [sys.executable, str(CHECKOUT / "launch.py"), *more, *lines],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("multirun", [[], ["-m"]])
def test_the_command_line(
    multirun: list[str], service: Service, lines: list[str], clients: Clients, tmp_path: Path
) -> None:
    finished(service, clients)
    process = command(lines, *multirun, "action=collect", "job.name=sweep-1", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["best"]["value"] == 0.9
    assert [path.name for path in tmp_path.iterdir()] == ["multirun"]


def test_ctrl_c_on_the_command_line(service: Service, lines: list[str], tmp_path: Path) -> None:
    service.trial(1)
    process = command(lines, "action=watch", "job.name=sweep-1", cwd=tmp_path)
    assert process.stderr is not None
    while "Training" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(out)["name"] == "sweep-1" and "action=watch job.name=sweep-1" in err
    assert "where.endpoint_url=" in err and "Traceback" not in err
