"""Run folders, whole, half and foreign: each is listed as what it is."""

from __future__ import annotations

import csv
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sweepmaker.compare.reading import read
from sweepmaker.compare.series import MOST_POINTS, Curve, Metrics
from tests.compare.folders import make_run


def test_figures_agree_with_the_files_to_the_last_digit(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", lr=3e-3)
    run = read(folder)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    for name in ("valid/loss", "valid/top1", "train/loss", "test/top1"):
        written = [float(row[name]) for row in rows if row[name]]
        series = run.metrics[name]
        assert (series.low, series.high, series.last) == (min(written), max(written), written[-1])
        assert series.count == len(written)
    assert run.value == max(float(row["valid/top1"]) for row in rows if row["valid/top1"])
    assert repr(run.metrics["test/top1"].last) == rows[-1]["test/top1"]


def test_what_run_json_says_is_shown(tmp_path: Path) -> None:
    run = read(make_run(tmp_path / "run", overrides=["+experiment=b2", "model.name=a=b", "~scheduler"]))
    assert run.overrides == {"experiment": "b2", "model.name": "a=b", "scheduler": "(deleted)"}
    assert (run.seconds, run.images_per_second, run.weights) == (200.0, 251.739, "scratch")
    assert (run.commit, run.dirty) == ("d082003c1323c1eb04a1858d4fcf9c563dca9a12", False)
    assert run.start == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"state": 3}', "nonsense\x00", '{"a": 1}', "[" * 100_000])
def test_a_broken_record_is_listed_with_what_the_rest_tells(tmp_path: Path, text: str) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "run.json").write_text(text)
    run = read(folder)
    assert run.state == "broken" and run.problem is not None and "run.json" in run.problem
    assert run.overrides["lr"] == "0.001"
    assert run.metrics["valid/top1"].count == 8


def test_a_half_written_row_is_no_row(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", values=[0.5, 0.25])
    with (folder / "metrics.csv").open("a") as file:
        file.write("3,360,9.0,0.1,0.99")
    run = read(folder)
    assert run.metrics["valid/top1"].high == 0.5
    assert run.metrics.rows == 3


def test_a_running_run_shows_its_best_so_far(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "run", values=[0.5, 0.75, 0.625], state="running", pid=os.getpid(),
        host=socket.gethostname(), objective={"name": "valid/top1", "mode": "max", "value": None},
    )  # fmt: skip
    run = read(folder)
    assert (run.state, run.value) == ("running", 0.75)
    assert run.objective is not None and run.objective.epoch == 1
    found = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(found | {"pid": 2**22 + 1}))
    assert read(folder).state == "interrupted"  # nobody works there any more


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    failure = {"type": "RuntimeError", "message": "out of memory\nand more", "frames": []}
    run = read(make_run(tmp_path / "run", state="failed", failure=failure))
    assert run.problem == "RuntimeError: out of memory" and not run.counts


def test_nan_is_counted_and_never_best(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", values=[0.5, 0.25])
    text = (folder / "metrics.csv").read_text().replace(",0.25,", ",nan,")
    (folder / "metrics.csv").write_text(text)
    series = read(folder).metrics["valid/top1"]
    assert (series.count, series.broken, series.high, series.last) == (1, 1, 0.5, 0.5)


def test_an_empty_folder_of_a_sweep_and_a_folder_with_only_a_config(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    assert read(tmp_path / "nothing").state == "broken"
    folder = make_run(tmp_path / "run")
    (folder / "run.json").unlink()
    (folder / "metrics.csv").unlink()
    run = read(folder)
    assert (run.state, run.value, run.overrides["lr"]) == ("unknown", None, "0.001")
    (folder / ".hydra" / "overrides.yaml").write_text("{a: [")
    assert "overrides.yaml" in str(read(folder).problem)


def template(folder: Path) -> Path:
    """A run folder of lightning-hydra-template, without its logs."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("- model.optimizer.lr=0.01\n- trainer.max_epochs=2\n")
    (folder / ".hydra" / "config.yaml").write_text(
        "task_name: train\nmodel:\n  optimizer:\n    lr: 0.01\ncallbacks:\n  early_stopping:\n"
        "    monitor: val/loss\n    mode: min\n  model_checkpoint:\n    monitor: val/acc\n    mode: max\n"
    )
    return folder


def test_csv_logs_of_the_template_are_read(tmp_path: Path) -> None:
    folder = template(tmp_path / "run")
    logs = folder / "csv" / "version_0"
    logs.mkdir(parents=True)
    (logs / "metrics.csv").write_text(
        "epoch,lr-Adam,step,train/loss,val/acc,val/acc_best,val/loss\n"
        "0,0.01,49,,,,\n0,,99,,0.5,0.5,1.5\n0,,99,1.75,,,\n1,,199,,0.25,0.5,1.25\n1,,199,1.5,,,\n"
    )
    run = read(folder, curves=True)
    assert (run.state, run.problem) == ("unknown", None)
    assert run.objective is not None
    assert (run.objective.name, run.objective.mode, run.value, run.objective.epoch) == (
        "val/acc",
        "max",
        0.5,
        0,
    )
    assert run.metrics["val/loss"].last == 1.25
    assert run.overrides == {"model.optimizer.lr": "0.01", "trainer.max_epochs": "2"}


def test_event_files_of_the_template_are_read(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    folder = template(tmp_path / "run")
    logs = folder / "tensorboard" / "version_0"
    with SummaryWriter(str(logs)) as writer:
        for step, (accuracy, epoch) in enumerate([(0.5, 0.0), (0.75, 1.0)]):
            writer.add_scalar("val/acc", accuracy, step)
            writer.add_scalar("epoch", epoch, step)
    run = read(folder, curves=True)
    assert (run.value, run.metrics["val/acc"].count) == (0.75, 2)
    curve = run.metrics["val/acc"].curve
    assert curve is not None and list(curve.epochs) == [0.0, 1.0]
    (file,) = logs.iterdir()
    file.write_bytes(file.read_bytes()[:-7])  # killed while it wrote
    assert read(folder).metrics["val/acc"].high in (0.5, 0.75)
    file.write_bytes(b"\x00" * 100)
    assert "damaged" in str(read(folder).problem)


def test_memory_does_not_grow_with_the_epochs_and_extremes_stay() -> None:
    curve = Curve()
    values = [float(index % 97) for index in range(50_000)]
    values[31_234], values[40_001] = 1e6, -1e6
    for start in range(0, len(values), 250):
        part = values[start : start + 250]
        curve.extend(range(start, start + 250), range(start, start + 250), part)
    assert len(curve.values) <= MOST_POINTS and curve.thinned
    points = dict(zip(curve.epochs, curve.values, strict=True))
    assert points[31_234] == 1e6 and points[40_001] == -1e6
    assert (curve.epochs[0], curve.epochs[-1]) == (0, 49_999)
    assert list(curve.epochs) == sorted(curve.epochs)
    assert all(values[int(epoch)] == value for epoch, value in points.items())


def test_a_short_curve_is_whole(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", epochs=MOST_POINTS)
    metrics = Metrics(curves=True)
    metrics.read_csv(folder, "metrics.csv")
    curve = metrics["valid/top1"].curve
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert curve is not None and not curve.thinned
    assert list(curve.values) == [float(row["valid/top1"]) for row in rows if row["valid/top1"]]
