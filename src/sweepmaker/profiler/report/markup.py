"""The few pieces of HTML that the page is made of; every text goes through `text` once."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence

from sweepmaker.profiler.report.style import CSS

_WORD = re.compile(r"(?<![\w.=])([a-z_]+(?:\.[a-z_]+)*=[\w\-]+(?:\.[\w\-]+)*)")  # key=value, as it is typed
# nothing is fetched and nothing runs, whatever a name in the data may say
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, body: str) -> str:
    """One HTML page that needs no other file.

    Args:
        title: as text.
        body: as HTML, with a line end.
    """
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="icon" href="data:,">
<title>{text(title)}</title>
<style>{CSS}</style>
</head>
<body>
{body}</body>
</html>
"""


def text(value: object) -> str:
    """``value`` as text that no browser takes for markup."""
    return html.escape(str(value), quote=True)


def words(sentence: str) -> str:
    """A sentence in which overrides (``batch_size=64``) stand out as code."""
    return _WORD.sub(r"<code>\1</code>", text(sentence))


def section(name: str, title: str, *parts: str, long: bool = False) -> str:
    """A section with its heading; ``long`` may be broken over two pages in print."""
    kind = ' class="long"' if long else ""
    body = "\n".join(part for part in parts if part)
    return f'<section id="{text(name)}"{kind}>\n<h2>{text(title)}</h2>\n{body}\n</section>'


def paragraph(sentence: str, kind: str = "") -> str:
    """One sentence or two."""
    named = f' class="{kind}"' if kind else ""
    return f"<p{named}>{words(sentence)}</p>" if sentence else ""


def sentence(said: str) -> str:
    """With a capital letter and a full stop; nothing stays nothing."""
    said = said.strip()
    return said[:1].upper() + said[1:] + ("" if not said or said.endswith(".") else ".")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], *, wordy: Sequence[int] = ()) -> str:
    """A table that scrolls by itself on a narrow screen; columns ``wordy`` hold words, the others numbers."""
    cells = "".join(
        f'<th scope="col" class="{"words" if place in wordy else "number"}">{text(name)}</th>'
        for place, name in enumerate(head)
    )
    lines = []
    for row in rows:
        parts = [
            f'<td class="words">{words(str(value))}</td>' if place in wordy else f"<td>{text(value)}</td>"
            for place, value in enumerate(row)
        ]
        lines.append(f"<tr>{''.join(parts)}</tr>")
    body = "\n".join(lines)
    whole = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{whole}</div>'


def facts(entries: Mapping[str, object]) -> str:
    """Names and what they are."""
    pairs = (f"<dt>{text(name)}</dt><dd>{words(str(value))}</dd>" for name, value in entries.items())
    return f"<dl>{''.join(pairs)}</dl>"


def figure(caption: str, content: str) -> str:
    """A plot under its caption."""
    return f"<figure><figcaption>{text(caption)}</figcaption>{content}</figure>"


def seconds(value: float) -> str:
    """A duration as people say it."""
    if value != value:
        return "-"
    if value == 0:
        return "0"
    if value < 1e-3:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    if value < 600:
        return f"{value / 60:.1f}".removesuffix(".0") + " min"
    if value < 7200:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"


def size(value: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def percent(value: float) -> str:
    """A percentage without more digits than it deserves."""
    return "-" if value != value else f"{value:.0f} %"
