"""The report: every section has its content, nothing is fetched, nothing in it runs, all is readable."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweepmaker.profiler.report import files
from sweepmaker.profiler.report.charts import Curve, curves, histogram
from sweepmaker.profiler.report.markup import seconds, sentence, words
from sweepmaker.profiler.report.style import CSS
from sweepmaker.run import untrusted
from tests.needs import needs_package
from tests.profiler.recorded import Profile, judged, preset, profile

EMPTY = ("meta", "link", "line", "rect", "polyline", "polygon")  # elements without a content
SECTIONS = (
    "summary", "rules", "system", "split", "steps", "gpu", "balance", "data", "batch", "bottlenecks",
    "memory", "learning", "debugger", "run",
)  # fmt: skip
HOSTILE = "<script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>"
FINDINGS = {
    "version": 1, "preset": "sane",
    "rules": {
        "VanishingGradient": {
            "status": "IssuesFound", "reason": None, "parameters": {}, "count": 3,
            "findings": [{"step": 50, "epoch": 0, "where": HOSTILE, "value": 1e-9, "threshold": 1e-7,
                          "meaning": "Gradients are gone.", "advice": HOSTILE, "override": "lr=1e-4"}],
        },
        "Overfit": {"status": "NoIssuesFound", "reason": None, "parameters": {}, "count": 0, "findings": []},
    },
}  # fmt: skip


def written(folder: Path, made: Profile) -> Path:
    """The report of ``made``, with everything around it that a run folder may hold."""
    (folder / "debugger").mkdir(parents=True)
    (folder / "debugger" / "findings.json").write_text(json.dumps(FINDINGS))
    rows = "\n".join(f"{epoch},{epoch * 9},{epoch}.5,{1 / (epoch + 1)},0.5,0.001" for epoch in range(4))
    (folder / "metrics.csv").write_text(f"epoch,step,seconds,train/loss,valid/loss,lr\n{rows}\n")
    record = {"overrides": [f"name={HOSTILE}"], "timing": {"start": "2026-11-27T14:03:12+00:00", "end": None},
              "choices": {"device": {"value": "cuda", "reason": HOSTILE}},
              "objective": {"name": "valid/top1", "value": 0.9, "epoch": 3}}  # fmt: skip
    (folder / "run.json").write_text(json.dumps(record))
    files.write(folder, made, judged(made), "completed")
    return folder / "profiler" / "report.html"


@pytest.fixture(scope="module")
def two_gpus() -> Profile:
    return profile(
        preset(), seconds=400, busy=(40, 60), gpus=[HOSTILE, "NVIDIA A10G"],
        step=lambda n: 0.1 if n % 50 else 1.5,
        phases={"data_wait": 0.4, "forward": 0.2, "backward": 0.3, "validation": 0.1},
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(two_gpus: Profile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("run") / "r", two_gpus)


class Outline(HTMLParser):
    """Tags that are open, text by section, and the attributes that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.said: dict[str, str] = {}
        self._section = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in EMPTY:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "data", "action", "xlink:href") and not (value or "").startswith("#"):
                self.loads.append(value or "")
            assert not name.startswith("on"), (tag, name)
        if tag == "section":
            self._section = str(dict(attrs).get("id", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._section:
            self.said[self._section] = self.said.get(self._section, "") + data


def test_the_page_is_whole_and_says_something_everywhere(page: Path) -> None:
    outline = Outline(page.read_text())
    assert outline.open == []
    assert tuple(outline.said) == SECTIONS
    for name, said in outline.said.items():
        assert len(said.split()) > 8, name
    assert outline.loads == ["data:,"]
    assert not {"script", "img", "iframe", "object", "form"} & outline.tags
    assert "data.num_workers=4" in outline.said["data"] and "lr=1e-4" in outline.said["debugger"]
    assert HOSTILE in outline.said["debugger"]


@pytest.mark.parametrize("about", [{"busy": (), "accelerator": "cpu", "gpus": []}, {"seconds": 0.5}])
def test_a_run_with_little_to_tell_has_all_sections_too(about: dict[str, Any], tmp_path: Path) -> None:
    made = profile(preset(), **{"seconds": 60, **about})
    outline = Outline(written(tmp_path / "r", made).read_text())
    assert tuple(outline.said) == SECTIONS


def test_nothing_but_a_profile_makes_a_page(tmp_path: Path) -> None:
    made = Profile(preset())
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    files.write(tmp_path, made, judged(made), "failed")
    assert tuple(Outline((tmp_path / "profiler" / "report.html").read_text()).said) == SECTIONS


def test_rules_are_kept_with_the_keys_of_aws(page: Path, two_gpus: Profile) -> None:
    files = {file.stem: json.loads(file.read_text()) for file in (page.parent / "reports").glob("*.json")}
    assert set(files) == set(two_gpus.settings.rules)
    for content in files.values():
        assert {"RuleTriggered", "Violations", "Details", "Datapoints", "RuleParameters"} <= set(content)
    assert files["DataWait"]["RuleTriggered"] > 0 and files["DataWait"]["Override"] == "data.num_workers=4"
    assert files["DataWait"]["RuleParameters"] == "threshold:10\nleast_steps:20"
    assert files["StepOutlier"]["Violations"] == files["StepOutlier"]["Details"]["number_of_outliers"] > 10
    assert files["LowGPUUtilization"]["Details"]["gpu1"]["gpu_95"] == pytest.approx(60, abs=3)


def test_the_summary_is_what_others_read(page: Path, two_gpus: Profile) -> None:
    content = json.loads((page.parent / "summary.json").read_text())
    assert content["version"] == 1 and content["override"] == "data.num_workers=4"
    assert len(content["sentences"]) == 2 and content["rules"]["DataWait"]["triggered"] is True
    split = content["split"]
    assert split["data_wait"] == pytest.approx(0.4 * two_gpus.totals.sum(), rel=1e-6)
    assert split["training_step"] + split["data_wait"] == pytest.approx(two_gpus.training_s)


def test_a_report_of_ten_hours_is_no_longer_than_others(tmp_path: Path) -> None:
    """`benchmarks/profiler_overhead.py` has the seconds that it takes."""
    asked = preset("sane", "profiler.sample_ms=60000", "profiler.scan_s=600")
    hours = profile(asked, seconds=36000, busy=(90,) * 8, step=lambda n: 5.0)
    random = np.random.default_rng(0)
    for number in range(5000):  # so that every bucket of every channel is full
        values = random.uniform(0, 100, len(hours.system.names))
        hours.system.add(36000.0 + number, values)
    assert 500 < len(hours.system) <= 1024
    file = written(tmp_path / "r", hours)
    assert file.stat().st_size < 2_000_000
    assert max(len(points.split()) for points in re.findall(r'points="([^"]*)"', file.read_text())) <= 640


def test_extremes_are_in_the_plot(page: Path) -> None:
    values = np.full(5000, 10.0)
    values[2345] = 97.0
    drawn = curves("x", [Curve("a", np.arange(5000.0), values)], top=100)
    heights = [1000 - float(y) for y in re.findall(r",([\d.]+)", drawn.partition("polygon")[2])]
    assert max(heights) == pytest.approx(970)
    assert "10 % to 97 %" in drawn


def test_plots_of_nothing_are_left_out() -> None:
    nothing = np.full(3, np.nan)
    assert curves("x", [Curve("a", np.arange(3.0), nothing)]) == ""
    assert histogram("x", np.arange(4.0), np.zeros(3, dtype=np.int64), unit=str) == ""


def test_words() -> None:
    assert words("Try data.num_workers=4.") == "Try <code>data.num_workers=4</code>."
    assert [sentence(said) for said in ("no step", "It is.", "", " a ")] == ["No step.", "It is.", "", "A."]
    assert words("<b>=1 & a=b") == "&lt;b&gt;=1 &amp; <code>a=b</code>"
    assert [seconds(value) for value in (0, 5e-5, 0.25, 61, 184, 300, 700, 9000)] == [
        "0", "50 µs", "250 ms", "61 s", "3.1 min", "5 min", "12 min", "2.5 h",
    ]  # fmt: skip


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast_is_enough_for_everyone(scheme: int) -> None:
    """WCAG 2.1 AA: 4.5 to 1 for text, 3 to 1 for what is drawn."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    colours = dict(re.findall(r"--(\w+):\s*(#\w+)", blocks[scheme]))
    colours = {name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
               for name, value in colours.items()}  # fmt: skip
    for paper in ("paper", "panel", "badfill", "goodfill"):
        assert contrast(colours["ink"], colours[paper]) >= 4.5
    for text in ("soft", "bad", "good", "s0"):
        assert contrast(colours[text], colours["paper"]) >= 4.5, text
    for series in range(9):
        assert contrast(colours[f"s{series}"], colours["paper"]) >= 3, series


def test_broken_neighbours_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    for name in ("list", "broken", "none"):
        assert untrusted.read_object(tmp_path / f"{name}.json", 1000) == {}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    needs_package("/usr/bin/chromium", "chromium")
    needs_package("/usr/bin/chromedriver", "chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    quiet = "headless no-sandbox disable-gpu disable-quic no-first-run disable-sync disable-dev-shm-usage"
    silent = "disable-background-networking disable-component-update"
    for flag in (*quiet.split(), *silent.split(), f"user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_in_a_browser_nothing_is_asked_for_and_nothing_is_wrong(browser: Any, page: Path) -> None:
    browser.get("about:blank")
    browser.get_log("performance")  # of its own first page
    browser.get(page.as_uri())
    asked = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert browser.get_log("browser") == []
    assert browser.title.startswith("Profile of ")
    for section in SECTIONS:
        assert len(browser.execute_script(f"return document.getElementById('{section}').innerText")) > 40


@pytest.mark.slow
def test_paper_shows_what_the_screen_folds_away(browser: Any, page: Path) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page.as_uri())
    closed = "return [...document.querySelectorAll('details:not([open]) dl')].map(e => e.checkVisibility("
    options = "{contentVisibilityAuto: true}))"
    assert True not in browser.execute_script(closed + options)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        WebDriverWait(browser, 20, 0.05).until(
            lambda _: (shown := browser.execute_script(closed + options)) and all(shown),
            "something is folded away on paper, too",
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1200])
def test_a_phone_shows_all_of_it(browser: Any, page: Path, width: int) -> None:
    browser.get(page.as_uri())
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    small = browser.execute_script(
        "return [...document.querySelectorAll('body *')].filter(e => e.innerText && !e.children.length)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)).reduce((a, b) => Math.min(a, b), 99)"
    )
    assert small >= 11
    heights = browser.execute_script("return [...document.querySelectorAll('svg')].map(e => e.clientHeight)")
    assert heights and min(heights) >= 20
