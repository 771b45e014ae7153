"""The page of odd figures and odd files: it is drawn in the end; one part that fails does not blank it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sweepmaker.compare import task
from tests.compare.browser import Page, browser
from tests.compare.folders import make_run
from tests.compare.test_select import chosen


@pytest.fixture(scope="module")
def open_browser() -> Iterator[Page]:
    with browser() as page:
        yield page


def opened(page: Page, folder: Path, file: Path) -> Page:
    options = chosen(runs=str(folder), html=str(file))
    task.write_page(task.compare(options), options)
    page.problems()
    page.open(file)
    return page


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("max", (0.9, math.nextafter(0.9, 1.0))),
        ("min", (0.9, math.nextafter(0.9, 1.0))),
        ("min", (0.5, 0.5)),
        ("min", (0.0, 0.0)),
        ("min", (1e16, 1e16 + 2)),
        ("min", (-1e308, 1e308)),
        ("min", (5e-324, 1e300)),
        ("min", (1e-300, 1.0)),
    ],
)
def test_any_figures_are_drawn(
    values: Sequence[float], mode: str, open_browser: Page, tmp_path: Path
) -> None:
    for number, value in enumerate(values):
        folder = make_run(
            tmp_path / "runs" / str(number), overrides=[f"lr={value!r}"], values=[],
            objective={"name": "a/b", "mode": mode, "value": value},
        )  # fmt: skip
        (folder / "metrics.csv").write_text(f"epoch,step,a/b\n0,1,{value!r}\n1,2,{values[0]!r}\n")
    page = opened(open_browser, tmp_path / "runs", tmp_path / "p.html")
    page.js('document.getElementById("logy").click()')
    assert page.problems() == []
    assert len(page.all("#progressplot circle")) == len(values)
    assert len(page.all("svg text")) < 500


@pytest.mark.parametrize(
    "table", ["label,prediction\na,b\n", "tile,image,label,prediction,confidence\n0,x.png\n"]
)
def test_a_table_of_mistakes_that_is_not_whole(table: str, open_browser: Page, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "0")
    (run / "confusion_test.csv").write_text("label,a,b\na,1,2\nb,0,1\n")
    (run / "mistakes_test.csv").write_text(table)
    page = opened(open_browser, tmp_path / "runs", tmp_path / "p.html")
    assert page.problems() == []
    assert "1 of" in page.one("#count").text and "2 of 3" in page.one("#wrong").text
    assert "mistakes_test.csv: " in page.one("#found").text


def test_a_part_that_fails_says_so_and_the_others_are_drawn(open_browser: Page, tmp_path: Path) -> None:
    run = make_run(tmp_path / "runs" / "0")
    (run / "confusion_test.csv").write_text("label,a,b\na,1,2\nb,0,1\n")
    file = tmp_path / "p.html"
    opened(open_browser, tmp_path / "runs", file)
    # data that no version of this program writes
    file.write_text(file.read_text().replace('"pairs":[', '"pairs":[null,', 1))
    open_browser.open(file)
    assert "could not be drawn" in open_browser.one("#mistakes").text
    assert "1 of 1 runs" in open_browser.one("#count").text
    assert open_browser.all("#curveplot svg") and open_browser.all("#progressplot circle")
