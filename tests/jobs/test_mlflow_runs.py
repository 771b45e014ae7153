"""A collected sweep in a real MLflow database: parent and children, every value, and twice without harm."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from launchers.jobs import mlflow_runs
from launchers.jobs.standing import TUNING, Job, Trial
from sweepmaker.config.errors import UserError
from tests.compare.folders import make_run
from tests.integration.runs import TINY, train

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trial(number: int, status: str = "Completed") -> Trial:
    return Trial(
        f"sweep-1-{number:03d}-0000000{number}",
        f"arn:{number}",
        status,
        tuned={"lr": f"1e-{number}"},
        value=0.5 + number / 100,
        created=TIME,
        started=TIME,
        ended_at=TIME + timedelta(minutes=number),
    )


@pytest.mark.slow  # MLflow makes its tables anew, half a minute
def test_parent_and_children_with_every_value(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    trials = (trial(1), trial(2, "Failed"), trial(3, "InProgress"))
    job = Job(TUNING, "sweep-1", "arn:sweep", "Completed", TIME, trials, metric="valid/top1_best")
    folders = {one.name: make_run(tmp_path / one.name, overrides=["+experiment=b2"]) for one in trials[:2]}
    with (folders[trials[1].name] / "metrics.csv").open("ab") as file:  # it went wrong, and was killed
        file.write(b"9,810,inf,nan,nan,1,1,1,1,1,1,1,1,1,1,1,1\n9,900,1,\xff,0.99")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    settings = {"tracking_uri": uri, "experiment": "digits"}
    said: list[str] = []
    mlflow_runs.write(job, folders, settings, said.append)
    mlflow_runs.write(job, folders, settings, said.append)
    assert "2 runs written" in said[0] and "0 runs written" in said[1]
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    by_name = {run.info.run_name: run for run in found}
    assert len(found) == 3
    parent = by_name["sweep-1"]
    assert (parent.info.status, parent.data.tags["sweepmaker.best"]) == ("FINISHED", trials[0].name)
    for one, status in zip(trials[:2], ("FINISHED", "FAILED"), strict=True):
        child = by_name[one.name]
        assert child.info.status == status
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.params == {"experiment": "b2", "lr": one.tuned["lr"]}
        minutes = trials.index(one) + 1
        assert child.info.end_time - child.info.start_time == 60_000 * minutes
        with (folders[one.name] / "metrics.csv").open(errors="replace") as file:
            rows = [row for row in csv.DictReader(file) if row["valid/top1"] not in ("", "nan", None)]
        rows = [row for row in rows if row["step"] != "900"]  # half a row
        parents = client.get_metric_history(parent.info.run_id, "valid/top1_best")
        assert len(parents) == 1  # written twice, it is there once
        history = client.get_metric_history(child.info.run_id, "valid/top1")
        assert [(point.step, point.value) for point in history] == [
            (int(row["step"]), float(row["valid/top1"])) for row in rows
        ]


def test_without_mlflow_it_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    job = Job(TUNING, "sweep-1", "arn:sweep", "Completed", TIME, ())
    with pytest.raises(UserError, match="not installed") as error:
        mlflow_runs.write(job, {}, {"tracking_uri": "sqlite:///x.db", "experiment": "x"}, print)
    assert "sweepmaker[mlflow]" in str(error.value.fix)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    job = Job(TUNING, "sweep-1", "arn:sweep", "Completed", TIME, ())
    with pytest.raises(UserError, match="did not take the runs") as error:
        mlflow_runs.write(job, {}, {"tracking_uri": "http://127.0.0.1:1", "experiment": "x"}, print)
    assert error.value.key == "mlflow.tracking_uri"


@pytest.mark.parametrize("name", ["valid/top1", "lr", "a@b", "model.name", "+x=[1]"])
def test_names_are_ones_that_mlflow_takes(name: str) -> None:
    import re

    assert re.fullmatch(r"[/\w.\- :]*", mlflow_runs._name(name))


def test_nothing_is_written_unless_asked_for() -> None:
    cfg: Any = OmegaConf.create({"mlflow": {"tracking_uri": None, "experiment": "x"}})
    assert mlflow_runs.tracking(cfg) is None
    cfg.mlflow.tracking_uri = "sqlite:///x.db"
    assert mlflow_runs.tracking(cfg) == {"tracking_uri": "sqlite:///x.db", "experiment": "x"}


@pytest.mark.slow
def test_the_logger_of_a_run(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'm.db'}"
    ended = train(*TINY, "debug=fast", "logger=mlflow", cwd=tmp_path, MLFLOW_TRACKING_URI=uri)
    assert ended.code == 0, ended.err
    client = MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("sweepmaker").experiment_id])
    assert "valid/top1" in run.data.metrics and run.info.status == "FINISHED"
