"""The page in a real browser: choose, drop, see the classes; it asks its server only, text stays text."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sweepmaker.serving.server import page as pages
from sweepmaker.serving.server.settings import Settings
from tests.compare.browser import Page, browser
from tests.images import photo_jpeg
from tests.serving.models import classifier, make_model
from tests.serving.server.servers import Server, command, listening, until

pytestmark = [pytest.mark.slow]
EVIL = "<img src=x onerror=alert(1)>"
CLASSES = ("cat", EVIL, "a name that is so long that it has to go on in the next line")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_model(tmp_path_factory.mktemp("page") / "<b>run</b>", classifier(3), classes=CLASSES)
    words = command(folder, "--engine", "eager", "--workers", "1", "--payload-mb", "1")
    with listening(words) as running:
        running.ready()
        yield running


@pytest.fixture(scope="module")
def open_browser() -> Iterator[Page]:
    with browser() as page:
        yield page


@pytest.fixture
def page(open_browser: Page, server: Server) -> Page:
    open_browser.resize(1280, 900)
    open_browser.requests(), open_browser.problems()
    open_browser.driver.get(f"http://127.0.0.1:{server.port}/")
    until(lambda: open_browser.js("return document.body.dataset.ready") == "true")
    return open_browser


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "photo <b>.jpg"
    path.write_bytes(photo_jpeg(0))
    return path


def choose(page: Page, *paths: Path) -> None:
    """As a person does with the file dialog."""
    page.one("#file").send_keys("\n".join(map(str, paths)))
    wait(page, len(paths))


def wait(page: Page, count: int) -> None:
    until(lambda: len(page.all(".result[data-done=true]")) >= count)


def test_a_chosen_image_is_classified(page: Page, server: Server, image: Path) -> None:
    choose(page, image)
    asked = server.ask("POST", "/invocations", image.read_bytes(), content_type="image/jpeg")
    best = asked.json["top"]
    assert page.one(".result h2").text == best[0]["label"]
    assert page.texts(".result li > span:first-child") == [entry["label"] for entry in best]
    assert page.texts(".result li > span:last-child") == [f"{100 * e['probability']:.1f} %" for e in best]
    assert page.js("return [...document.querySelectorAll('meter')].map((one) => one.value)") == pytest.approx(
        [entry["probability"] for entry in best], abs=1e-6
    )
    told = page.one(".time").text
    assert re.fullmatch(r"class \d, [\d.]+ ms in all, [\d.]+ ms of it reading and classifying.*", told), told
    assert (
        page.js("const i = document.querySelector('.result img'); return i.complete && i.naturalWidth") == 500
    )
    assert page.problems() == []


def test_a_dropped_image_is_classified_and_the_newest_is_first(page: Page, image: Path) -> None:
    page.js(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        for (const name of ["one.jpg", "two.jpg"]) {
          const data = new DataTransfer();
          data.items.add(new File([bytes], name, { type: "image/jpeg" }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
        }
        """,
        base64.b64encode(image.read_bytes()).decode(),
    )
    wait(page, 2)
    assert page.texts(".file") == ["two.jpg", "one.jpg"]
    assert len(page.all(".result li")) == 6


def test_several_are_taken_one_after_the_other(page: Page, image: Path, tmp_path: Path) -> None:
    other = tmp_path / "b.jpg"
    other.write_bytes(photo_jpeg(1))
    choose(page, image, other)
    assert page.texts(".file") == ["b.jpg", image.name]
    choose(page, image)  # the same again
    wait(page, 3)


def test_what_is_no_image_or_too_large_is_said(page: Page, tmp_path: Path) -> None:
    text, large = tmp_path / "note.txt", tmp_path / "large.png"
    text.write_text("no image")
    large.write_bytes(b"x" * (2**20 + 1))
    choose(page, text, large)
    messages = page.texts(".problem")
    assert messages[0] == "more than 1 MB"
    assert messages[1]
    assert page.texts(".result h2") == ["No answer", "No answer"]


def test_names_are_text(page: Page, image: Path) -> None:
    choose(page, image)
    assert EVIL in page.texts(".result li > span:first-child")
    assert page.one("#model").text.endswith("<b>run</b>")
    assert page.one(".file").text == image.name
    assert page.js("return document.querySelectorAll('li img, header b').length") == 0


def test_it_asks_nobody_but_its_server(page: Page, server: Server, image: Path) -> None:
    choose(page, image)
    own = f"http://127.0.0.1:{server.port}/"
    asked = [one for one in page.requests() if not one.startswith(("blob:", "data:", "about:"))]
    assert {one.removeprefix(own) for one in asked} == {"", "ping", "invocations"}
    assert page.problems() == []
    refused = page.js(
        """
        return Promise.allSettled([
          fetch("http://127.0.0.1:1/"), fetch("data:text/plain,x"),
        ]).then((all) => all.map((one) => one.status));
        """
    )
    assert refused == ["rejected", "rejected"]
    assert all("Content Security Policy" in one for one in page.problems() if "violates" in one)


def test_the_policy_leaves_no_way_for_markup_to_run(server: Server) -> None:
    headers = server.ask("GET", "/").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in str(policy)
    html = pages.render(Settings(Path("a/b/c/<script>/model"))).html
    assert html.count("<script>") == 1 and "b/c/&lt;script&gt;" in html


@pytest.mark.parametrize("width", [1280, 375])
def test_it_fits_the_window(page: Page, image: Path, width: int) -> None:
    page.resize(width, 900)
    choose(page, image)
    assert page.js("return document.documentElement.scrollWidth") <= width
    narrow = page.js(
        """
        const out = (box) => box.right > innerWidth || box.left < 0;
        return [...document.querySelectorAll("li > span, h2, p, a, label, meter")]
          .filter((one) => out(one.getBoundingClientRect())).map((one) => one.outerHTML);
        """
    )
    assert narrow == []


def test_it_can_be_used_without_a_mouse_and_heard(page: Page, image: Path) -> None:
    choose(page, image)
    assert page.js("return document.documentElement.lang") == "en"
    assert page.js("document.getElementById('file').focus(); return document.activeElement.id") == "file"
    assert page.one("#results").get_attribute("aria-live") == "polite"
    assert all("%" in one.get_attribute("aria-label") for one in page.all("meter"))


def test_it_says_when_the_server_has_gone(open_browser: Page, tmp_path: Path, image: Path) -> None:
    with listening(command(make_model(tmp_path), "--engine", "eager", "--workers", "1")) as other:
        other.ready()
        open_browser.driver.get(f"http://127.0.0.1:{other.port}/")
        until(lambda: open_browser.one("#state").text.endswith("ready"))
        assert other.end() == 0
    choose(open_browser, image)
    assert open_browser.one(".result h2").text == "No answer"
    assert open_browser.one(".problem").text
    open_browser.problems()
