"""The page of odd figures and odd files: it is drawn in the end; one part that fails does not blank it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sweepmaker.compare import task
from tests.compare.browser import Page, browser
from tests.compare.folders import make_run, make_sweep
from tests.compare.test_page import column
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


def test_a_pair_that_was_chosen_stays(open_browser: Page, tmp_path: Path) -> None:
    make_sweep(tmp_path / "runs", (1e-3, 3e-3, 1e-2))
    page = opened(open_browser, tmp_path / "runs", tmp_path / "p.html")
    for box in page.all("#table tbody input")[:2]:
        box.click()
    other = "return document.getElementById('other').value"
    assert page.js(other) == "1"
    page.js(
        "const box = document.getElementById('other'); box.value = 2; box.dispatchEvent(new Event('change'));"
    )
    page.one("#filter").send_keys("state=completed")
    assert page.js(other) == "2"
    page.driver.refresh()
    assert page.js(other) == "2"


def test_figures_are_as_they_were_written(open_browser: Page, tmp_path: Path) -> None:
    for number, limit in enumerate(("10_000", "20_000")):
        seed = 20261123 + number
        lines = [f"data.limit={limit}", f"constructor={number}", f"seed={seed}"]
        make_run(tmp_path / "runs" / str(number), seed=seed, overrides=lines)
    page = opened(open_browser, tmp_path / "runs", tmp_path / "p.html")
    assert sorted(column(page, "seed")) == ["20261123", "20261124"]
    assert sorted(column(page, "data.limit")) == ["10_000", "20_000"]
    page.one("#filter").send_keys("data.limit>=15_000")
    assert column(page, "data.limit") == ["20_000"]
    page.js("document.getElementById('skip').click()")
    assert "data.limit" in page.js("return decodeURIComponent(location.hash)")
    assert page.js("return document.activeElement.id") == "runs"
    assert page.problems() == []


def test_a_page_that_is_watched_loads_itself_anew_until_it_is_paused(
    open_browser: Page, tmp_path: Path
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    make_run(tmp_path / "runs" / "0")
    options = chosen(runs=str(tmp_path / "runs"), html=str(tmp_path / "p.html"), watch=True, watch_s=2)
    task.write_page(task.compare(options), options)
    open_browser.open(tmp_path / "p.html")
    open_browser.js("window.mark = true")
    WebDriverWait(open_browser.driver, 20).until(lambda _: open_browser.js("return !window.mark"))
    open_browser.js("document.getElementById('pause').click(); window.mark = true")
    # twice as long as it takes otherwise
    open_browser.driver.execute_async_script("setTimeout(arguments[0], 4000)")
    assert open_browser.js("return window.mark") and "Go on" in open_browser.one("#pause").text
