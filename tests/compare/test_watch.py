"""``watch=true``: shown anew when something has changed, and only then."""

from __future__ import annotations

import itertools
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.compare import reading
from sweepmaker.compare.run import Run
from sweepmaker.compare.watch import watch
from sweepmaker.config.errors import ConfigError
from tests.compare.folders import make_run, metrics_csv
from tests.compare.test_select import chosen


class Ended(Exception):
    """Stands for Ctrl-C."""


def test_a_change_is_shown_and_the_page_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    runs = tmp_path / "runs"
    folder = make_run(runs / "0", values=[0.5])
    shown: list[str] = []
    stamps: list[int] = []
    steps = iter(["nothing", "epoch", "new", "gone", "back", "end"])

    def sleep(seconds: float) -> None:
        assert seconds == 3.0
        shown.append(capsys.readouterr().out)
        stamps.append(page.stat().st_mtime_ns)
        step = next(steps)
        if step == "epoch":
            record = json.loads((folder / "run.json").read_text())
            record["objective"]["value"] = 0.75
            (folder / "run.json").write_text(json.dumps(record))
            (folder / "metrics.csv").write_text(metrics_csv([0.5, 0.75]))
        elif step == "new":
            make_run(runs / "1", values=[0.25])
        elif step == "gone":
            runs.rename(tmp_path / "aside")
        elif step == "back":
            (tmp_path / "aside").rename(runs)
        elif step == "end":
            raise Ended

    with pytest.raises(Ended):
        watch(chosen(runs=str(runs), html=str(page), watch=True, watch_s=3), sleep)
    assert [bool(text) for text in shown] == [True, False, True, True, False, False]
    assert "0.75" in shown[2] and "0.25" in shown[3]
    assert [a != b for a, b in itertools.pairwise(stamps)] == [False, True, True, False, False]
    assert '"again_s":null' in page.read_text()  # it is over, so the page loads itself no more


@pytest.mark.parametrize("more", [{}, {"best": True}, {"metric": "test/top1"}])
def test_what_is_not_there_yet_is_waited_for(
    more: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = iter(["run", "value", "end"])

    def sleep(seconds: float) -> None:
        step = next(steps)
        if step == "run":
            make_run(tmp_path / "runs" / "0", values=[])
            (tmp_path / "runs" / "0" / "metrics.csv").write_text("")
        elif step == "value":
            make_run(tmp_path / "runs" / "1", values=[0.5])
        else:
            raise Ended

    with pytest.raises(Ended):
        watch(chosen(runs=str(tmp_path / "runs"), watch=True, **more), sleep)
    told = capsys.readouterr()
    assert "waiting: nothing matches" in told.err and told.err.count("waiting: nothing") == 1
    assert str(tmp_path / "runs" / "1") in told.out


def test_a_wrong_option_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        watch(chosen(runs=str(tmp_path / "file"), watch=True), lambda seconds: None)


def test_runs_that_are_over_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "over")
    going = make_run(tmp_path / "going", state="running", pid=os.getpid(), host=socket.gethostname())
    real, names, looks = reading.read, [], iter(range(3))

    def noted(folder: Path, *, curves: bool) -> Run:
        names.append(folder.name)
        return real(folder, curves=curves)

    def sleep(seconds: float) -> None:
        if next(looks) == 2:
            raise Ended

    monkeypatch.setattr(reading, "read", noted)
    with pytest.raises(Ended):
        watch(chosen(runs=str(tmp_path), watch=True), sleep)
    assert names.count("over") == 1 and names.count(going.name) == 3
