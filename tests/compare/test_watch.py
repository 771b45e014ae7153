"""``watch=true``: shown anew when something has changed, and only then."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

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
    assert '"again_s":3.0' in page.read_text()


def test_nothing_at_the_first_look_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing matches"):
        watch(chosen(runs=str(tmp_path / "no"), watch=True), lambda seconds: None)
