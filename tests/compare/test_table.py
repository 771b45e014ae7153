"""The table in each form: what is in it, in which order, with how many digits, and which run is best."""

from __future__ import annotations

import csv
import io
import json
import shlex
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.compare import formats, ranking, reading, task, terminal
from sweepmaker.compare.columns import Comparison, as_json, differing
from sweepmaker.config.errors import ConfigError
from tests.compare.folders import make_run, make_sweep
from tests.compare.test_select import chosen


def compared(folder: Path, **given: Any) -> Comparison:
    return task.compare(chosen(runs=str(folder), **given))


def printed(comparison: Comparison) -> str:
    stream = io.StringIO()
    terminal.print_table(comparison, stream)
    return stream.getvalue()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("table") / "sweep"
    make_sweep(root, (1e-3, 3e-3, 1e-2), seeds=(0, 1, 2))
    return root


def test_best_first_and_only_what_differs(sweep: Path) -> None:
    comparison = compared(sweep)
    values = [run.value for run in comparison.runs]
    assert values == sorted((value for value in values if value is not None), reverse=True)
    assert comparison.differing == ("lr", "batch_size", "seed")
    assert comparison.best is comparison.runs[0]
    (first,) = [line for line in printed(comparison).splitlines() if line.startswith("3 ")]
    assert "0.003" in first and "completed" in first and "3 min 20 s" in first and "d082003" in first


def test_a_metric_that_is_asked_for_decides(sweep: Path) -> None:
    comparison = compared(sweep, metric="train/loss")
    assert comparison.goal == ranking.Goal("train/loss", "min")
    values = [run.value for run in comparison.runs]
    assert values == sorted(values, key=lambda value: value or 0.0)
    other = compared(sweep, metric="train/loss", mode="max")
    assert other.runs[0].value == max(run.metrics["train/loss"].high or 0 for run in other.runs)
    with pytest.raises(ConfigError, match="no run has logged nonsense") as error:
        compared(sweep, metric="nonsense")
    assert "valid/top1" in str(error.value.allowed)


def test_json_and_csv_have_every_digit(sweep: Path) -> None:
    comparison = compared(sweep)
    document = json.loads(json.dumps(as_json(comparison)))
    assert document["best"] == document["runs"][0]
    table = list(csv.DictReader(io.StringIO(formats.as_csv(comparison))))
    assert len(table) == len(document["runs"]) == 9
    for row, run in zip(table, document["runs"], strict=True):
        written = [
            one for one in csv.DictReader((Path(run["folder"]) / "metrics.csv").open()) if one["valid/top1"]
        ]
        values = [float(one["valid/top1"]) for one in written]
        assert run["metrics"]["valid/top1"]["best"] == max(values) == float(row["value"])
        assert run["metrics"]["valid/top1"]["last"] == values[-1] == float(row["valid/top1 last"])
        assert run["metrics"]["valid/loss"]["best"] == min(float(one["valid/loss"]) for one in written)
        assert run["objective"]["epoch"] == values.index(max(values))
        assert row["lr"] == run["overrides"]["lr"]


def test_repeats_are_a_mean_and_a_deviation(sweep: Path) -> None:
    comparison = compared(sweep)
    groups = comparison.groups
    assert [group.n for group in groups] == [3, 3, 3]
    for group in groups:
        values = [run.value for run in group.runs]
        assert group.mean == pytest.approx(statistics.mean(values))
        assert group.std == pytest.approx(statistics.stdev(values))
        assert {run.overrides["lr"] for run in group.runs} == {group.overrides["lr"]}
    assert groups[0].mean == max(group.mean for group in groups)
    shown = printed(comparison)
    assert f"{groups[0].mean:.6g} ± {groups[0].std:.2g}" in shown and "(3)" in shown
    assert compared(sweep, repeats=[]).groups == []


def test_the_same_number_written_otherwise_is_the_same_group_and_no_difference(tmp_path: Path) -> None:
    for number, text in enumerate(("1e-3", "0.001", "0.0010")):
        make_run(tmp_path / str(number), overrides=[f"lr={text}", f"seed={number}"])
    comparison = compared(tmp_path)
    assert comparison.differing == ("seed",)
    assert [group.n for group in comparison.groups] == [3]


def test_an_override_that_others_lack_shows_what_their_config_has(tmp_path: Path) -> None:
    make_run(tmp_path / "0", overrides=["lr=0.01"], lr=1e-2)
    make_run(tmp_path / "1", overrides=[], lr=3e-3)
    comparison = compared(tmp_path)
    assert {run.folder.name: comparison.values(run) for run in comparison.runs} == {
        "0": {"lr": "0.01"}, "1": {"lr": "0.003"},
    }  # fmt: skip


def test_failed_and_broken_runs_are_listed_and_never_best(tmp_path: Path) -> None:
    good = make_run(tmp_path / "good", values=[0.5])
    make_run(tmp_path / "failed", values=[0.9], state="failed",
             failure={"type": "RuntimeError", "message": "no memory", "frames": []})  # fmt: skip
    make_run(tmp_path / "broken", values=[0.99])
    (tmp_path / "broken" / "run.json").write_text("{")
    (tmp_path / "empty" / ".hydra").mkdir(parents=True)
    comparison = compared(tmp_path)
    assert comparison.best is not None and comparison.best.folder == good
    shown = printed(comparison)
    assert "failed: " in shown and "RuntimeError: no memory" in shown and "broken: " in shown
    assert shown.count("unknown") == 1
    (tmp_path / "good" / "run.json").unlink()
    (tmp_path / "good" / "metrics.csv").unlink()
    assert "no run has a value to compare" in printed(
        compared(tmp_path, only={"state": ["unknown", "failed"]})
    )


def test_of_equals_the_first_is_best(tmp_path: Path) -> None:
    for name, hour in (("a", 12), ("b", 10), ("c", 11)):
        make_run(tmp_path / name, values=[0.5], timing={"start": f"2026-11-23T{hour}:00:00+00:00"})
    best = compared(tmp_path).best
    assert best is not None and best.folder.name == "b"


def test_best_is_ready_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["+experiment=b2", "lr=1e-3", "data.root='a b'", "model.name=x,y"]
    folder = make_run(tmp_path / "a run", overrides=lines)
    options = chosen(runs=str(tmp_path), best=True)
    task.show(task.compare(options), options)
    words, where = capsys.readouterr().out.splitlines()
    assert shlex.split(words) == lines and where == str(folder)
    options = chosen(runs=str(tmp_path), best=True, format="json")
    task.show(task.compare(options), options)
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)


def test_no_best_is_one_message(tmp_path: Path) -> None:
    make_run(tmp_path / "run", values=[], objective=None)
    options = chosen(runs=str(tmp_path), best=True)
    with pytest.raises(ConfigError, match="no run has a value"):
        task.show(task.compare(options), options)


CELL = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(CELL)
def test_markdown_cells_stay_cells(text: str) -> None:
    cell = formats._cell(text)
    assert cell.replace("\\|", "").count("|") == 0
    assert cell.replace("\\<", "").count("<") == 0 and "\n" not in cell


def test_terminals_get_no_control_characters(tmp_path: Path) -> None:
    make_run(tmp_path / "0", overrides=["model.name=\x1b[2J"])
    make_run(tmp_path / "1", overrides=["model.name=[red]x"])
    shown = printed(compared(tmp_path))
    assert "\x1b" not in shown and "[red]x" in shown


def test_a_terminal_gets_what_it_has_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    make_run(tmp_path / "0", overrides=["model.name=[red]x"])
    make_run(tmp_path / "1", overrides=["model.name=日本"])
    monkeypatch.setenv("COLUMNS", "90")
    stream = Terminal()
    terminal.print_table(compared(tmp_path), stream)
    shown = stream.getvalue()
    assert "[red]x" in shown and "日本" in shown and "completed" in shown
    assert "(no room for commit, weights" in shown
    lines = shown.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("run"))
    assert all(len(line) <= 90 for line in lines[start : start + 4])


def test_long_overrides_leave_a_terminal_its_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for number in range(2):
        lines = [f"key{i}=" + str(number) * (200 if i == 0 else 20) for i in range(9)]
        make_run(tmp_path / str(number), overrides=lines)
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    terminal.print_table(compared(tmp_path), stream)
    table = stream.getvalue().splitlines()[1:5]
    assert all(len(line) <= 80 for line in table) and "0" * 31 + "…" in stream.getvalue()
    assert "0" * 200 in printed(compared(tmp_path))  # a file gets all of it


def test_findings_are_counted(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    (folder / "debugger").mkdir()
    file = folder / "debugger" / "findings.json"
    assert reading.read(folder).findings is None
    for text, count in (
        ('{"rules": {"A": {"count": 2}, "B": {"count": 3}}}', 5),
        ("{", None),
        ('{"rules": 3}', None),
    ):
        file.write_text(text)
        assert reading.read(folder).findings == count


def test_a_value_of_a_group_that_one_lacks_is_a_difference(tmp_path: Path) -> None:
    runs = [reading.read(make_run(tmp_path / str(i), overrides=lines)) for i, lines in enumerate(
        (["model=resnet50"], [], ["model=resnet50", "model.x=1"]))]  # fmt: skip
    assert differing(runs) == ("model", "model.x")


def test_a_run_that_a_rule_ended_says_which_and_why(tmp_path: Path) -> None:
    why = {"rule": "Overfit", "step": 90, "epoch": 1, "reason": "valid/loss: 0.5 against 0.1: \x1b[1mgap"}
    make_run(tmp_path / "stopped", state="stopped", stopped_by=why)
    make_run(tmp_path / "odd", state="stopped", stopped_by=["Overfit"])
    make_run(tmp_path / "asked", state="stopped", stopped_by={"rule": None})
    shown = printed(compared(tmp_path))
    lines = [line for line in shown.splitlines() if line.startswith("stopped: ")]
    assert len(lines) == 1 and ": by rule Overfit: valid/loss: 0.5 against 0.1: " in lines[0]
    assert "\x1b" not in shown
