"""docs/rules/ says what the rules' docstrings and presets say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweepmaker.debugger import settings
from sweepmaker.debugger.pages import pages
from tests.debugger.streams import fired_at, step

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


def test_the_rule_on_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "rules" / "README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_rules.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = settings.check({"rules": {"Mine": {"_target_": "my_rules.LossAbove", "bound": 5}}})
    assert fired_at(asked.rules[0].rule, [step(0, losses=[5.5]), step(1, losses=[4.5])]) == [0]
