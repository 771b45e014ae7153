"""Figures: which rows count, at which epoch, which direction a name has, what repeats are, what was lost."""

from __future__ import annotations

import json
import math
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.compare import formats, reading, rows, task
from sweepmaker.compare.columns import as_json
from sweepmaker.compare.filters import effective
from sweepmaker.compare.series import Metrics, lower_is_better
from tests.compare.folders import make_run
from tests.compare.test_table import compared


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("valid/loss", True), ("val_loss", True), ("valLoss", True), ("train/celoss", True), ("err@5", True),
        ("error_top1", True), ("ece", True), ("loss/train", True), ("val/loss/dataloader_idx_0", True),
        ("rmse2", True), ("acc_strawberry", False), ("ferret", False), ("terrier_f1", False), ("", False),
        ("valid/top1", False), ("loss/acc", False), ("train", False), ("mirror", False),
    ],
)  # fmt: skip
def test_a_name_says_its_direction_by_whole_words(name: str, lower: bool) -> None:
    assert lower_is_better(name) is lower


def test_values_are_those_of_whole_rows(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(
        b"epoch,step,seconds,a,b\n0,1,0.5,0.25,\n0,2,inf,nan,1.5\n0,3,1\n1,x,1,1,1\n1,4,-3,\xff,2\n2,5,9,0.7"
    )
    assert list(rows.values(tmp_path, "m.csv")) == [
        ("a", 0.25, 1, 0.5),
        ("b", 1.5, 2, 0.0),
        ("b", 2.0, 4, 0.0),
    ]
    (tmp_path / "m.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column epoch"):
        list(rows.values(tmp_path, "m.csv"))


def test_a_row_without_an_epoch_belongs_to_the_one_before() -> None:
    metrics = Metrics(curves=True)
    metrics.add(["epoch", "step", "a"], [["", "0", "1"], ["0", "1", "2"], ["", "2", "3"]])
    metrics.add(["step", "a"], [["3", "4"]])  # as TensorBoard's, where the tag is still to come
    curve = metrics["a"].curve
    assert curve is not None and math.isnan(curve.epochs[0]) and list(curve.epochs)[1:] == [0.0, 0.0, 0.0]
    assert metrics["a"].best_epoch("max") == 0.0 and metrics["a"].best_epoch("min") is None


def test_json_has_no_nan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.compare.test_select import chosen

    make_run(tmp_path / "0", seed=3, timing={"images_per_second": math.nan})
    record = tmp_path / "0" / "run.json"
    record.write_text(record.read_text().replace('"seed": 3', '"seed": NaN'))
    for best in (True, False):
        options = chosen(runs=str(tmp_path), format="json", best=best)
        task.show(task.compare(options), options)
        assert "NaN" not in capsys.readouterr().out


def test_a_continued_run_goes_on_although_an_earlier_end_stands_there(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", state="running", pid=os.getpid(), host=socket.gethostname())
    run = reading.read(folder)
    assert run.state == "running" and run.seconds is not None and run.seconds > 3600


def test_groups_and_columns_see_the_same_differences(tmp_path: Path) -> None:
    for number, lines in enumerate((["lr=0.001", "seed=0"], ["seed=1"], ["lr='0.001'", "seed=2"])):
        make_run(tmp_path / str(number), overrides=lines, seed=number)
    comparison = compared(tmp_path)
    assert comparison.differing == ("seed",)
    assert [group.n for group in comparison.groups] == [3]


def test_repeats_have_one_config_and_seeds_of_their_own(tmp_path: Path) -> None:
    for number, (seed, epochs) in enumerate([(0, 5), (1, 5), (1, 5), (2, 50)]):
        folder = make_run(tmp_path / str(number), overrides=[f"seed={seed}"], seed=seed)
        with (folder / ".hydra" / "config.yaml").open("a") as file:
            file.write(f"epochs: {epochs}\n")
    (group,) = compared(tmp_path).groups
    assert [run.folder.name for run in group.runs] in (["0", "1"], ["1", "0"])
    for name in ("a", "b"):  # foreign folders of which nothing is known
        (tmp_path / "foreign" / name).mkdir(parents=True)
        (tmp_path / "foreign" / name / "metrics.csv").write_text("epoch,step,a_best\n0,1,0.5\n")
    assert compared(tmp_path / "foreign").groups == []


def test_true_and_a_chosen_group_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    first = make_run(tmp_path / "0", overrides=["test=True", "optimizer=sgd", "seed=0"])
    second = make_run(tmp_path / "1", overrides=["test=true", "seed=1"])
    (second / ".hydra" / "hydra.yaml").write_text(
        "hydra:\n  runtime:\n    choices:\n      optimizer: adamw\n"
    )
    comparison = compared(tmp_path)
    assert comparison.differing == ("optimizer", "seed")
    assert effective(reading.read(second), "optimizer") == "adamw"
    kept = compared(tmp_path, only={"overrides": {"optimizer": "sgd"}}).runs
    assert [run.folder for run in kept] == [first]


def test_what_is_lost_and_what_is_equal_is_said(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "0", values=[0.5, 0.25], seed=0)
    text = (folder / "metrics.csv").read_text().replace(",0.25,", ",nan,")
    (folder / "metrics.csv").write_text(text + "1,2,3\n")
    make_run(tmp_path / "1", values=[0.5], seed=1)
    make_run(
        tmp_path / "2", values=[0.125], seed=2, objective={"name": "valid/loss", "mode": "min", "value": 0.1}
    )
    comparison = compared(tmp_path)
    said = "\n".join(formats.closing(comparison))
    assert "valid/top1 was nan or infinite 1 times; 1 cells or rows" in said
    assert "1 more with the same value, this one began first" in said
    assert "judged otherwise: 1 by valid/loss (min)" in said
    best, worse = (run for run in as_json(comparison)["runs"] if run["folder"].endswith(("0", "2")))
    assert (best["unreadable"], worse["unreadable"]) == (1, 0)
    make_run(tmp_path / "3", values=[0.75], seed=3)
    assert "ahead of the next by 0.25" in formats.closing(compared(tmp_path))[0]
    only: dict[str, Any] = {"state": "failed"}
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"state": "failed"}))
    assert "the only values are of runs that failed" in formats.closing(compared(tmp_path, only=only))[0]


def test_a_collected_trial_has_the_commit_of_its_launch(tmp_path: Path) -> None:
    request = {"Tags": [{"Key": "sweepmaker:commit", "Value": "3fa9c0de1234-dirty"}]}
    (tmp_path / "launch.json").write_text(json.dumps({"name": "sweep-1", "request": request}))
    run = reading.read(make_run(tmp_path / "0", git=None, job={"name": "sweep-1-001"}))
    assert (run.commit, run.dirty) == ("3fa9c0de1234", True)
    (tmp_path / "launch.json").write_text('{"request": {"Tags": [3, {"Key": []}]}}')
    run = reading.read(tmp_path / "0")
    assert run.commit is None and run.state == "completed"


def test_further_metrics_have_their_best_and_their_last(tmp_path: Path) -> None:
    make_run(tmp_path / "0", values=[0.5, 0.75, 0.625])
    comparison = compared(tmp_path)
    columns = [("valid/loss", "best"), ("valid/loss", "last"), ("test/top1", "best")]
    assert comparison.further_columns == columns
    shown = dict(zip(formats.header(comparison), formats.row(comparison, comparison.runs[0]), strict=True))
    assert (shown["valid/loss"], shown["valid/loss last"], shown["test/top1"]) == ("0.45", "0.575", "0.74")
