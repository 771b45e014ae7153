"""The page at ``/``: one HTML text that loads nothing; its policy allows it to ask this server only."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

from sweepmaker.serving.server.settings import Settings

_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Page:
    """The HTML, and the Content-Security-Policy that it is sent with."""

    html: str
    policy: str


def render(settings: Settings) -> Page:
    """The page of a server with these settings."""
    style = (_ASSETS / "page.css").read_text(encoding="utf-8")
    script = (_ASSETS / "page.js").read_text(encoding="utf-8")
    limits = {"bytes": int(settings.limits.payload_mb * 2**20), "megabytes": settings.limits.payload_mb}
    page = (_ASSETS / "page.html").read_text(encoding="utf-8")
    for name, text in (
        ("MODEL", escape(_name(settings.model_dir))),
        ("LIMITS", escape(json.dumps(limits))),
        ("STYLE", style),
        ("SCRIPT", script),
    ):
        head, mark, tail = page.rpartition(f"<!--{name}-->")
        assert mark, name
        page = head + text + tail
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(page, policy)


def _name(folder: Path) -> str:
    """The run that the model is of, as people wrote it: the last folders of its path."""
    parts = folder.absolute().parts
    parts = parts[:-1] if parts[-1] == "model" else parts
    return "/".join(parts[-3:]).strip("/").encode("utf-8", "replace").decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
