"""The page over a sweep's profiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sweepmaker.profiler import sweep
from sweepmaker.run import untrusted
from tests.integration.runs import CHECKOUT, TINY, train
from tests.profiler.test_report import HOSTILE, Outline


def leave(run: Path, lr: str, *triggered: str, override: str | None = None, page: bool = True) -> None:
    """What a run leaves that the page reads."""
    (run / "profiler").mkdir(parents=True)
    rules = {name: {"triggered": name in triggered} for name in ("DataWait", "BatchSize")}
    split = {"training_step": 60.0, "forward": 60.0, "data_wait": 40.0}
    profile = {
        "state": "completed",
        "split": split,
        "images_per_second": 12.3,
        "rules": rules,
        "override": override,
    }
    (run / "profiler" / "summary.json").write_text(json.dumps(profile))
    # the page of a sweep is made while the last run still calls itself so
    record = {"state": "running", "overrides": ["epochs=1", f"lr={lr}"],
              "objective": {"name": "valid/top1", "value": 0.5}}  # fmt: skip
    (run / "run.json").write_text(json.dumps(record))
    if page:
        (run / "profiler" / "report.html").write_text("<!DOCTYPE html>")


def test_numbers_that_a_search_made_are_short(tmp_path: Path) -> None:
    leave(tmp_path / "0", "0.004430375245218269")
    leave(tmp_path / "1", "1.4430375245218269e-05")
    leave(tmp_path / "2", "0.5")
    page = (sweep.write(tmp_path) or tmp_path).read_text()
    assert all(word in page for word in ("lr=0.00443038<", "lr=1.44304e-05<", "lr=0.5<"))


def test_runs_are_listed_with_what_differs(tmp_path: Path) -> None:
    leave(tmp_path / "0", "1e-3", "DataWait", override="data.num_workers=2")
    leave(tmp_path / "2", "1e-2")
    leave(tmp_path / "10", HOSTILE, "DataWait", "BatchSize", override="data.num_workers=2", page=False)
    (tmp_path / "3").mkdir()  # failed before it trained
    (tmp_path / ".collecting-x" / "profiler").mkdir(parents=True)
    written = sweep.write(tmp_path)
    assert written is not None
    text = written.read_text()
    outline = Outline(text)
    assert outline.loads == ["data:,", "0/profiler/report.html", "2/profiler/report.html"]
    assert "script" not in outline.tags and "img" not in outline.tags
    assert "epochs=1" not in text  # all have it
    assert "DataWait in 2, BatchSize in 1" in text and "100 s" in text
    assert "running" not in text and text.count("completed, valid/top1 0.5") == 3
    assert text.index("0/profiler") < text.index("2/profiler") < text.index(">10<")


def test_a_sweep_without_profiles_has_no_page(tmp_path: Path) -> None:
    (tmp_path / "0" / "profiler").mkdir(parents=True)
    (tmp_path / "0" / "profiler" / "summary.json").write_text("[")
    (tmp_path / "1" / "profiler").mkdir(parents=True)
    (tmp_path / "1" / "profiler" / "summary.json").write_text("[" * 100_000)
    assert sweep.write(tmp_path) is None and not (tmp_path / sweep.PAGE).exists()


HUGE = 10**400
SURROGATE = "\ud800"


@pytest.mark.parametrize(
    "spoilt",
    [
        {"split": 3, "rules": [1], "override": {}},
        {"images_per_second": "fast"},
        {"images_per_second": HUGE, "split": {"forward": HUGE, "loop": 1e308, "data_wait": 1e308}},
        {"split": {"forward": float("nan")}, "images_per_second": float("inf")},
        {"state": SURROGATE, "override": SURROGATE, "rules": {SURROGATE: {"triggered": True}}},
    ],
    ids=["kinds", "text", "huge", "not finite", "half a character"],
)
def test_a_summary_of_another_kind_is_shown_as_far_as_it_goes(
    spoilt: dict[str, object], tmp_path: Path
) -> None:
    leave(tmp_path / "0", "1")
    path = tmp_path / "0" / "profiler" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | spoilt))
    assert sweep.write(tmp_path) is not None


@pytest.mark.parametrize("name", ["profiler/summary.json", "run.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_file_that_is_none_is_passed_over(name: str, kind: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to would hold up the collection for ever."""
    leave(tmp_path / "sweep" / "0", "1")
    leave(tmp_path / "sweep" / "1", "secret=1")
    path = tmp_path / "sweep" / "1" / name
    path.replace(tmp_path / "elsewhere.json")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere.json")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    written = sweep.write(tmp_path / "sweep")
    assert written is not None
    text = written.read_text()
    assert "0/profiler/report.html" in text and ("secret=1" in text) is False


def test_numbers_that_no_float_holds_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(f'{{"a": {HUGE}, "b": 1e999, "c": NaN, "d": -Infinity, "e": [{-HUGE}, 7, 0.5]}}')
    found = untrusted.read_object(path, 10_000)
    assert found == {"a": None, "b": None, "c": None, "d": None, "e": [None, 7, 0.5]}
    assert untrusted.read_object(path, 10) == {}


def test_it_is_written_without_heavy_imports() -> None:
    program = (
        "import sys, sweepmaker.profiler.sweep\nprint({'torch', 'numpy', 'lightning'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=CHECKOUT / "src"
    )
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.slow
def test_a_multirun_leaves_one_page_over_its_runs(tmp_path: Path) -> None:
    ended = train("-m", *TINY, "debug=fast", "lr=1e-3,1e-2", f"hydra.sweep.dir={tmp_path}")
    assert ended.code == 0, ended.err
    loads = Outline((tmp_path / sweep.PAGE).read_text()).loads
    assert loads == ["data:,", "0/profiler/report.html", "1/profiler/report.html"]
    assert ended.err.count("profile: ") == 4
