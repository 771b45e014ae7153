"""Sections of the report for runs that are not like the others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sweepmaker.profiler import ranks
from sweepmaker.profiler.phases import PHASES
from sweepmaker.profiler.report import files, learning
from sweepmaker.profiler.report.charts import Curve, curves
from tests.profiler.recorded import judged, preset, profile
from tests.profiler.test_report import Outline, written


def test_a_run_of_one_epoch_has_numbers_instead_of_curves(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,seconds,valid/loss,test/loss\n0,9,1.5,0.25,\n1,9,2.0,,0.75\n")
    section = learning.curves_of(path, {})
    assert "polyline" not in section and "valid/loss" in section and "0.75" in section
    path.write_text("epoch,step,seconds,valid/loss,test/loss\n0,9,1.5,0.25,\n1,18,2,0.2,\n2,18,2,,0.75\n")
    dots = re.findall(r'points="(\S+) (\S+)"[^>]*round', learning.curves_of(path, {}))
    assert len(dots) == 1 and dots[0][0] == dots[0][1]  # the test's one value beside the curve


def test_a_rule_that_could_not_look_is_named_with_its_reason(tmp_path: Path) -> None:
    made = profile(
        preset("sane", "profiler.rules.StepOverhead=null"), seconds=5, busy=(), accelerator="cpu", gpus=[]
    )
    said = Outline(written(tmp_path / "r", made).read_text()).said
    assert "CPUBottleneck and IOBottleneck did not look: there is no GPU." in said["bottlenecks"]
    assert "StepOutlier did not look: 50 steps, at least 100 are needed." in said["steps"]
    assert "StepOverhead did not look: switched off." in said["split"]
    assert "Nothing to change." in (tmp_path / "r" / "profiler" / "report.html").read_text()


def test_the_machines_of_a_run_are_named_with_their_reports(tmp_path: Path) -> None:
    made = profile(preset(), seconds=60, nodes=2, node=0)
    told = dict.fromkeys(PHASES, 1.0)
    made.ranks = [{**told, "node": 0.0, **ranks.figures(made)}, {**told, "node": 0.0},
                  {**told, "node": 1.0, "cpu_p50": 12.0, "gpu_p95": 34.0}]  # fmt: skip
    said = Outline(written(tmp_path / "r", made).read_text()).said["balance"]
    assert "machine 1" in said and "34 %" in said and "profiler/node-1/report.html" in said
    made.ranks = []  # it was interrupted
    said = Outline(written(tmp_path / "s", made).read_text()).said["balance"]
    assert "which it did not" in said and "profiler/node-1/report.html" in said


def test_no_line_is_drawn_through_a_time_in_which_nothing_was_measured() -> None:
    """A run that was continued: its step times have a gap, where the second process starts."""
    time = np.concatenate([np.arange(20.0), np.arange(60.0, 80.0)])
    drawn = curves("x", [Curve("a", time, np.ones(40), np.zeros(40), np.full(40, 2.0))])
    assert drawn.count("<polyline") == drawn.count("<polygon") == 2
    whole = curves("x", [Curve("a", np.arange(40.0), np.ones(40))])
    assert whole.count("<polyline") == 1
    sparse = curves(
        "x", [Curve("a", np.array([0.0, 1.0, 50.0]), np.ones(3))]
    )  # an epoch each: too few to tell
    assert sparse.count("<polyline") == 1


def test_when_the_run_began_and_ended_is_told(tmp_path: Path) -> None:
    said = Outline(written(tmp_path / "r", profile(preset(), seconds=5)).read_text()).said["summary"]
    assert "began2026-11-27 14:03:12 UTC" in said
    assert re.search(r"ended20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", said)


def test_counters_that_failed_are_named(tmp_path: Path) -> None:
    made = profile(preset(), seconds=5, counters_missing=["disk", "net"])
    said = Outline(written(tmp_path / "r", made).read_text()).said["run"]
    assert "counters that faileddisk, net" in said


def test_what_is_of_the_whole_run_is_marked_so(tmp_path: Path) -> None:
    """Disk and network are rates, which no histogram of percentages holds."""
    said = Outline(written(tmp_path / "r", profile(preset(), seconds=5)).read_text()).said["system"]
    assert "disk, read *" in said and "* over the whole run" in said and "CPU *" not in said


def test_the_shares_of_the_loop_are_whole(tmp_path: Path) -> None:
    split = {"forward": 0.5, "backward": 0.4, "validation": 0.1}
    page = written(tmp_path / "r", profile(preset(), seconds=5, phases=split))
    content = json.loads((page.parent / "reports" / "OverallFrameworkMetrics.json").read_text())
    assert sum(content["Details"]["phase"].values()) == pytest.approx(100)
    assert content["Details"]["phase"]["EVAL"] == pytest.approx(10, abs=0.1)
    assert "ratio" not in content["Details"]  # no operators were recorded
    made = profile(preset(), seconds=5)
    made.totals[PHASES.index("checkpoint")] = made.totals.sum()
    (tmp_path / "profiler").mkdir()
    (tmp_path / "profiler" / "operators.json").write_text('{"total": {"cpu": 30.0, "gpu": 90.0, "x": []}}')
    files.write(tmp_path, made, judged(made), "completed")
    reports = tmp_path / "profiler" / "reports"
    details = json.loads((reports / "OverallFrameworkMetrics.json").read_text())["Details"]
    assert details["phase"]["others"] > 50 and sum(details["phase"].values()) == pytest.approx(100)
    assert details["ratio"] == {"CPU": 25, "GPU": 75} and details["GPU_total"] == 90
