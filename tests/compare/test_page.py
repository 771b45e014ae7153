"""The page in a real browser: sort, filter, select, diff; silent, self-contained, hostile names as text."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.compare import task
from sweepmaker.compare.page import as_script
from sweepmaker.run.atomic import finite
from tests.compare.browser import Page, browser
from tests.compare.folders import make_launch, make_run, make_sweep
from tests.compare.test_select import chosen

EVIL = "</script><img src=x onerror=alert(1)>"
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
CONFUSION = "label \\ prediction,a,b,c\na,9,1,0\nb,0,10,0\nc,4,0,6\n"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page") / "sweep"
    folders = make_sweep(root, RATES, seeds=(0, 1))
    make_launch(root, {"lr": "Logarithmic"})
    values = json.loads((folders[6] / "run.json").read_text())
    (folders[6] / "confusion_test.csv").write_text(CONFUSION)  # lr=3e-3, the best
    (folders[0] / "run.json").write_text("{")
    record = json.loads((folders[2] / "run.json").read_text())
    failure = {"type": "RuntimeError", "message": f"no memory {EVIL}", "frames": []}
    (folders[2] / "run.json").write_text(json.dumps(record | {"state": "failed", "failure": failure}))
    (folders[3] / "run.json").write_text(json.dumps(record | {"state": "stopped", "seed": 1}))
    make_run(root / EVIL.replace("/", "_"), lr=2e-3, git={"commit": EVIL, "dirty": True},
             overrides=["lr=0.002", f"model.name={EVIL}", "batch_size=16", "seed=0"])  # fmt: skip
    (folders[4] / "debugger").mkdir()
    (folders[4] / "debugger" / "findings.json").write_text(json.dumps({"version": 1, "rules": {
        "VanishingGradient": {"status": "IssuesFound", "count": 3, "findings": [
            {"step": 50, "where": "features.3.0", "meaning": "Gradients are <b>tiny</b>.",
             "advice": "Less depth.", "override": "lr=1e-4"}]},
        "Overfit": {"status": "NoIssuesFound", "count": 0, "findings": []}}}))  # fmt: skip
    (folders[4] / "profiler").mkdir()
    (folders[4] / "profiler" / "report.html").write_text("<p>report</p>")
    (folders[4] / "profiler" / "summary.json").write_text(
        json.dumps(
            {
                "version": 1,
                "sentences": ["A third went into waiting for data."],
                "override": "data.num_workers=2",
            }
        )
    )
    assert values["objective"]["value"] > record["objective"]["value"]
    return root


@pytest.fixture(scope="module")
def page_file(sweep: Path) -> Path:
    options = chosen(runs=str(sweep), html=str(sweep.parent / "compare.html"))
    task.write_page(task.compare(options), options)
    return sweep.parent / "compare.html"


@pytest.fixture(scope="module")
def open_browser() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(open_browser: Page, page_file: Path) -> Page:
    open_browser.resize(1400, 1000)
    open_browser.requests(), open_browser.problems()
    open_browser.open(page_file)
    return open_browser


def column(page: Page, name: str) -> list[str]:
    """The visible cells of a column, from top to bottom."""
    heads = [head.get_attribute("data-column") for head in page.all("#table thead th")]
    return page.texts(f"#table tbody tr td:nth-child({heads.index(name) + 1})")


def test_silent_and_self_contained(page: Page, page_file: Path) -> None:
    page.one("#metric").send_keys("train/loss")
    page.one("#xaxis").send_keys("wall time")
    assert page.problems() == []
    assert {url for url in page.requests() if not url.startswith(("data:", "about:"))} == {page_file.as_uri()}
    outside = re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", page_file.read_text())
    assert outside == []


def test_best_first_and_sorted_by_a_click_or_a_key(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    values = [float(text) for text in column(page, "valid/top1") if text]
    top = float(column(page, "valid/top1")[0])
    assert top == max(values) and "best" in column(page, "run")[0]
    button = page.one("#table th[data-column='lr'] button")
    button.click()
    rates = [float(text) for text in column(page, "lr")]
    assert rates == sorted(rates) and len(set(rates)) == 7
    assert page.one("#table th[data-column='lr']").get_attribute("aria-sort") == "ascending"
    button.send_keys(Keys.ENTER)
    assert [float(text) for text in column(page, "lr")] == sorted(rates, reverse=True)


def test_filtering_leaves_rows_and_plots(page: Page) -> None:
    field = page.one("#filter")
    field.send_keys("lr<=0.001 state=completed")
    assert {float(text) for text in column(page, "lr")} == {0.001, 1e-4}  # two of 3e-4 ended otherwise
    assert set(column(page, "state")) == {"completed"}
    shown = len(column(page, "run"))
    assert f"{shown} of 13 runs shown" in page.one("#count").text
    assert len(page.all("#progressplot circle")) == shown
    field.clear()
    field.send_keys("nothing-has-this")
    assert column(page, "run") == []
    assert page.problems() == []


def test_two_selected_runs_are_compared(page: Page) -> None:
    boxes = page.all("#table tbody input")
    boxes[0].click()
    boxes[2].click()
    names = [text.split()[0] for text in column(page, "run")]
    diff = page.one("#diff").text
    assert names[0] in diff and names[2] in diff and "lr" in diff and "difference of" in diff
    assert page.texts("#curveplot .legend li")[0].startswith(names[0])
    assert "2 selected" in page.one("#count").text
    page.one("#clear").click()
    assert "0 selected" in page.one("#count").text


def test_a_reload_keeps_what_was_chosen(page: Page) -> None:
    page.one("#filter").send_keys("state=completed")
    page.all("#table tbody input")[1].click()
    page.driver.refresh()
    assert set(column(page, "state")) == {"completed"}
    assert page.all("#table tbody input")[1].is_selected()


def test_markup_in_names_is_text(page: Page, page_file: Path) -> None:
    assert page.all("img") == [] and page.all("section b b") == []
    assert any("onerror" in text for text in column(page, "run"))
    found = page.one("#found").text
    assert EVIL in found and "<b>tiny</b>" in found
    assert EVIL not in page_file.read_text()
    assert page.problems() == []


def test_what_the_parts_left_is_shown(page: Page) -> None:
    found = page.one("#found").text
    assert "VanishingGradient (3)" in found and "lr=1e-4" in found and "Overfit" not in found
    assert "A third went into waiting" in found and "data.num_workers=2" in found
    links = {link.get_attribute("href") for link in page.all("#found a")}
    assert any(link.endswith("sweep/4/profiler/report.html") for link in links)
    assert page.texts("#wrong table.matrix tbody tr:last-child td")[-1] == "6"
    assert "4 of 10" in page.one("#wrong").text
    assert "git.commit" in page.one("#env").text
    assert "fANOVA" in page.one("#importancebars").text
    assert "±" in page.one("#groups").text


def test_axes_are_logarithmic_where_the_search_was(page: Page) -> None:
    labels = [plot.text for plot in page.all("#scatter .plot")]
    assert any("lr (log)" in text for text in labels)
    assert not any("batch_size (log)" in text for text in labels)


def test_curves_have_every_digit_of_metrics_csv(page: Page, sweep: Path) -> None:
    import csv

    for number in ("5", "6"):
        rows = [row for row in csv.DictReader((sweep / number / "metrics.csv").open()) if row["valid/top1"]]
        drawn = page.js(
            """
            const data = JSON.parse(document.getElementById("data").textContent);
            const run = data.runs.find((one) => one.name.endsWith("/" + arguments[0]));
            const text = data.pool[run.curves["valid/top1"][2]], raw = atob(text.slice(1));
            const bytes = Uint8Array.from(raw, (letter) => letter.charCodeAt(0));
            return Array.from(new (text[0] === "f" ? Float32Array : Float64Array)(bytes.buffer));
            """,
            number,
        )
        assert drawn == [float(row["valid/top1"]) for row in rows]


@pytest.mark.parametrize("width", [375, 1400])
def test_nothing_sticks_out_of_the_screen(page: Page, width: int) -> None:
    page.resize(width, 800)
    page.driver.refresh()
    assert page.js("return document.documentElement.scrollWidth") <= width


def test_everything_can_be_reached_by_keyboard_and_has_a_name(page: Page) -> None:
    unnamed = page.js(
        """
        const named = (one) => one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length;
        return [...document.querySelectorAll("button, input, select, a, [tabindex='0']")]
          .filter((one) => !named(one)).map((one) => one.outerHTML);
        """
    )
    assert unnamed == []
    unreachable = page.js(
        """
        return [...document.querySelectorAll("button, input, select, a")]
          .filter((one) => one.tabIndex < 0).length;
        """
    )
    assert unreachable == 0


def test_text_has_the_contrast_of_wcag_aa(page: Page) -> None:
    """4.5 to 1 against the colour behind it, by the formula of WCAG 2.2."""
    poor = page.js(
        """
        const light = (text) => {
          const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const behind = (one) => {
          for (; one; one = one.parentElement) {
            const colour = getComputedStyle(one).backgroundColor;
            if (!/, 0\\)$/.test(colour) && colour !== "transparent") return colour;
          }
          return "rgb(255,255,255)";
        };
        const bad = [];
        for (const one of document.querySelectorAll("body *")) {
          const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
          if (!own || !one.getClientRects().length || one.closest("script, option")) continue;
          const style = getComputedStyle(one);
          const ink = one.namespaceURI.includes("svg") ? style.fill : style.color;
          const [a, b] = [light(ink), light(behind(one))].sort((x, y) => y - x);
          const ratio = (a + 0.05) / (b + 0.05);
          if (ratio < 4.5 && !one.disabled) bad.push([one.tagName, one.textContent.slice(0, 30), ink, ratio]);
        }
        return bad;
        """
    )
    assert poor == []


def test_json_in_a_script_has_no_markup() -> None:
    text = as_script({"a": f"{EVIL} \u2028 &amp; <!--", "b": float("nan"), "c": "\udcff"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text)["a"] == f"{EVIL} \u2028 &amp; <!--"


@given(st.recursive(st.text() | st.floats() | st.none(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_text_comes_back_and_none_of_it_is_markup(content: Any) -> None:
    text = as_script({"content": content})
    assert not set("<>&\u2028\u2029") & set(text)
    if not _surrogates(text := json.dumps(content, ensure_ascii=False)) and "nan" not in text.lower():
        assert json.loads(as_script({"content": content}))["content"] == finite(content)


def _surrogates(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def test_one_run_alone_has_a_page_too(open_browser: Page, tmp_path: Path) -> None:
    make_run(tmp_path / "run", epochs=1)
    shutil.rmtree(tmp_path / "run" / ".hydra")
    options = chosen(runs=str(tmp_path), html=str(tmp_path / "p.html"))
    task.write_page(task.compare(options), options)
    open_browser.problems()
    open_browser.open(tmp_path / "p.html")
    assert open_browser.problems() == []
    assert "Best" in open_browser.one("#best").text
