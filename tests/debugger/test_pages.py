"""docs/rules/ says what the rules' docstrings and presets say."""

from __future__ import annotations

from pathlib import Path

from sweepmaker.debugger.pages import pages

ROOT = Path(__file__).parents[2]


def test_the_pages_are_up_to_date() -> None:
    made = pages(ROOT / "conf" / "debugger")
    there = {path.name: path.read_text() for path in (ROOT / "docs" / "rules").glob("*.md")}
    assert made == there, "make rules writes them anew"


def test_a_page_has_all_that_people_need() -> None:
    page = pages(ROOT / "conf" / "debugger")["VanishingGradient.md"]
    for part in (
        "**Condition.**",
        "**What to do.**",
        "**Differs from AWS.**",
        "**Example.**",
        "| `threshold` | 1e-07 | 1e-07 |",
    ):
        assert part in page
