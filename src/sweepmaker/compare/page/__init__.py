"""One self-contained HTML page of a comparison: it loads nothing, sends nothing, and opens from a disk.

Drawn by a few hundred lines of our own (assets/*.js): a charting library would be several megabytes in
every page, needs ``eval`` for parallel coordinates, and does not link them with a table and its filter.
"""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from pathlib import Path
from typing import Any

from sweepmaker.compare.columns import Comparison
from sweepmaker.compare.page import data
from sweepmaker.run import atomic, disk

_ASSETS = Path(__file__).parent / "assets"
# concatenated in this order, in one function
_SCRIPTS = ("core", "axes", "table", "curves", "space", "parallel", "details", "best", "main")


def write(comparison: Comparison, path: Path, *, again_s: float | None = None) -> None:
    """Write the page to ``path``, whole or not at all.

    Args:
        comparison: with the runs' curves.
        path: a file in an existing folder; links to runs are relative to it.
        again_s: the page loads itself anew after so many seconds (where it stands, what is sorted and
            selected stays); None: never.

    Raises:
        UserError: it cannot be written.
    """
    content = data.collect(comparison, path.absolute().parent)
    content["again_s"] = again_s
    with disk.naming(path):
        atomic.write_text(path, render(content))


def render(content: dict[str, Any]) -> str:
    """The HTML text; whatever stands in ``content`` is data to it, never markup."""
    style = (_ASSETS / "page.css").read_text(encoding="utf-8")
    parts = [(_ASSETS / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS]
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();"
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    page = (_ASSETS / "page.html").read_text(encoding="utf-8")
    for name, text in (
        ("POLICY", escape(policy)),
        ("TITLE", escape(str(content["title"]))),
        ("STYLE", style),
        ("DATA", as_script(content)),
        ("SCRIPT", script),
    ):
        head, mark, tail = page.rpartition(f"<!--{name}-->")
        assert mark, name
        page = head + text + tail
    return page


def as_script(content: Any) -> str:
    """JSON that is safe inside a ``<script>`` element: it holds none of ``< > &`` and no line separator."""
    text = json.dumps(atomic.finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    # a lone surrogate (of a file name that is no UTF-8) has no place in a file
    return text.encode("utf-8", errors="replace").decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
