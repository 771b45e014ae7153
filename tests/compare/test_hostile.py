"""Whatever stands in one run folder, the other runs are compared, and nothing outside gets into a page."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sweepmaker.compare import formats, reading, task, terminal
from sweepmaker.compare.columns import Comparison, as_json
from sweepmaker.compare.page import data, write
from sweepmaker.run import atomic, reader
from tests.compare.folders import make_run
from tests.compare.test_select import chosen

FILES = (
    "run.json", ".hydra/config.yaml", ".hydra/overrides.yaml", "debugger/findings.json",
    "profiler/summary.json", "metrics.csv", "confusion_test.csv", "mistakes_test.csv", "mistakes_test.png",
)  # fmt: skip
HUGE = "1" + "0" * 400


def all_forms(folder: Path, page: Path) -> Comparison:
    """Every way in which a comparison is shown."""
    comparison = task.compare(chosen(runs=str(folder), html=str(page)))
    terminal.print_table(comparison, io.StringIO())
    json.dumps(atomic.finite(as_json(comparison)), allow_nan=False)
    formats.as_csv(comparison), formats.as_markdown(comparison)
    write(comparison, page)
    return comparison


def odd(folder: Path, name: str, content: str) -> Path:
    """A run with one odd file, beside a good one."""
    make_run(folder / "good", values=[0.5])
    run = make_run(folder / "odd", values=[0.25])
    if name in ("no run.json/config", "no run.json/overrides"):
        (run / "run.json").unlink()
        name = f".hydra/{name.rpartition('/')[2]}.yaml"
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).write_text(content)
    return run


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no run.json/config", "optimized_metric: [a, b]"),
        ("no run.json/config", "objective: {name: {a: b}, mode: [c]}"),
        ("no run.json/config", "callbacks: {a: {monitor: [x], mode: {}}}"),
        ("no run.json/overrides", '- !!int ""'),
        ("no run.json/overrides", "&a [*a]"),
        (".hydra/config.yaml", "lr: &x {b: *x}"),
        (".hydra/config.yaml", "lr: " + "{a: " * 500 + "}" * 500),
        ("debugger/findings.json", '{"rules": {"A": {"count": 1e999}}}'),
        ("debugger/findings.json", '{"rules": {"A": {"status": "Error", "findings": 3}}}'),
        ("debugger/findings.json", '{"rules": 3}'),
        ("profiler/summary.json", '{"sentences": 5}'),
        ("run.json", '{"state": "completed", "objective": {"name": "a", "value": ' + HUGE + "}}"),
        ("run.json", '{"state": "running", "heartbeat": "2026-01-01T00:00:00", "pid": ' + f"{2**70}}}"),
        ("run.json", '{"state": "completed", "timing": {"start": "0001-01-01T00:00:00"}}'),
        ("run.json", '{"state": "running", "host": "x", "heartbeat": "0001-01-01T00:00:00"}'),
        ("run.json", '{"state": "completed", "timing": {"images_per_second": NaN}, "seed": NaN}'),
        ("metrics.csv", f"epoch,step,a\n0,1,{HUGE}\n1,2,-1e308\n"),
        ("mistakes_test.csv", "label,prediction\na,b\n"),
    ],
)
def test_one_odd_file_leaves_the_other_runs(name: str, content: str, tmp_path: Path) -> None:
    odd(tmp_path, name, content)
    comparison = all_forms(tmp_path, tmp_path / "page.html")
    assert sorted(run.folder.name for run in comparison.runs) == ["good", "odd"]
    assert comparison.best is not None and comparison.best.folder.name == "good"


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "mode", "value", "rules", "count", "start", "pid", "A"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
FIELDS = st.sampled_from([
    "state", "objective", "overrides", "timing", "rules", "sentences", "override", "pid", "host", "heartbeat",
    "git", "weights", "choices", "versions", "hardware", "data", "job", "failure", "optimized_metric",
    "callbacks", "lr",
])  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(FILES), st.dictionaries(FIELDS, JSON, max_size=5), st.booleans())
@example("run.json", {"state": "running", "pid": 2**70}, False)
def test_any_json_in_any_file_is_compared(name: str, content: dict[str, Any], foreign: bool) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "runs")
        run = odd(folder, name, json.dumps({"state": "completed", **content}))
        if foreign and name != "run.json":
            (run / "run.json").unlink()
        assert len(all_forms(folder, Path(root, "page.html")).runs) == 2


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(FILES), st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_in_any_file_are_compared(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        run = odd(Path(root, "runs"), name, "")
        (run / name).write_bytes(content)
        assert len(all_forms(run.parent, Path(root, "page.html")).runs) == 2


def test_a_reader_that_fails_in_a_way_nobody_thought_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(folder: Path) -> None:
        raise ZeroDivisionError("what")

    monkeypatch.setattr(reader, "read", wrong)
    run = reading.read(make_run(tmp_path / "run"))
    assert run.state == "broken" and "ZeroDivisionError: what" in str(run.problem)
    assert run.metrics["valid/top1"].count == 8


def test_a_folder_whose_name_is_no_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")))
    all_forms(folder, tmp_path / "page.html")
    assert "r%FF/metrics.csv" in (tmp_path / "page.html").read_text()
    for words in (
        {"best": True},
        {"best": True, "format": "json"},
        {"format": "csv"},
        {"format": "json"},
        {},
    ):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8", errors="strict"))
        task.plain_output()
        options = chosen(runs=str(folder), **words)
        task.show(task.compare(options), options)
        shown = raw.getvalue().decode()
        assert "r\\udcff" in shown or "r\N{REPLACEMENT CHARACTER}" in shown
        if words.get("format") == "json":
            assert "\udcff" in json.dumps(json.loads(shown), ensure_ascii=False)


SECRET = "-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.mark.parametrize("how", ["link", "folder", "content"])
def test_nothing_outside_of_a_run_gets_into_the_page(how: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in ("mistakes_test.png", "summary.json", "confusion_test.csv"):
        (outside / name).write_text(SECRET)
    run = make_run(tmp_path / "run")
    (run / "confusion_test.csv").write_text("label,a,b\na,1,0\nb,0,1\n")
    (run / "mistakes_test.csv").write_text("tile,image,label,prediction,confidence\n0,x.png,a,b,0.9\n")
    if how == "link":
        (run / "mistakes_test.png").symlink_to(outside / "mistakes_test.png")
    elif how == "folder":
        (outside / "summary.json").write_text(json.dumps({"sentences": [SECRET]}))
        (run / "profiler").symlink_to(outside)
    else:
        (run / "mistakes_test.png").write_text(SECRET)
    comparison = all_forms(run, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert base64.b64encode(SECRET.encode()).decode() not in text and SECRET not in text
    problem = "it is no PNG image" if how == "content" else "it is a link"
    assert problem in str(comparison.runs[0].problem)


@pytest.mark.parametrize("name", ["metrics.csv", "run.json", ".hydra/config.yaml", ".hydra/overrides.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_pipes_and_links_are_neither_read_nor_waited_for(name: str, kind: str, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "runs" / "0")
    (folder / name).replace(tmp_path / "aside")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path / "aside")
    (run,) = all_forms(tmp_path / "runs", tmp_path / "page.html").runs
    known = "regular file" if kind == "pipe" else "it is a link"
    assert name == ".hydra/overrides.yaml" or known in str(run.problem)


def test_what_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    for name in ("metrics.csv", "confusion_test.csv"):
        with (folder / name).open("w") as file:
            file.truncate(2**40)
    run = reading.read(folder, curves=True)
    assert "larger than" in str(run.problem) and not run.metrics
    made = data.collect(task.compare(chosen(runs=str(folder))), tmp_path)
    assert "confusion_test.csv: it is larger" in made["runs"][0]["problem"]
