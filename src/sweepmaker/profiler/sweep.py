"""One page over the profiles of a sweep: a row a run, each linking to its report. Needs no torch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweepmaker.profiler.report.markup import document, paragraph, seconds, text, words
from sweepmaker.run import atomic, untrusted

PAGE = "profiler.html"
_COLUMNS = {"run": "words", "what differs": "words", "result": "words", "time": "number",
            "images/s": "number", "what its rules found": "words"}  # fmt: skip
# More digits than anyone reads; the report has all of them.
_LONG = re.compile(r"(?<==)\d+\.\d{6,}(e-?\d+)?$")
_LARGEST = 1_000_000  # bytes of a summary, or of a run.json


def write(folder: Path) -> Path | None:
    """Write ``profiler.html`` into the sweep's ``folder``; None where no run has a profile.

    Raises:
        OSError: it cannot be written.
    """
    runs = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: path.name.zfill(12))
    found = {
        run: profile
        for run in runs
        if not run.name.startswith(".")
        and (profile := untrusted.read_object(run / "profiler" / "summary.json", _LARGEST))
    }
    if not found:
        return None
    records = {run: untrusted.read_object(run / "run.json", _LARGEST) for run in found}
    atomic.write_text(folder / PAGE, untrusted.plain(_page(folder, found, records)))
    return folder / PAGE


def _page(folder: Path, found: Mapping[Path, dict[str, Any]], records: Mapping[Path, dict[str, Any]]) -> str:
    lines = [list(map(str, _list(records[run], "overrides"))) for run in found]
    common = set(lines[0]).intersection(*lines) if len(lines) > 1 else set()
    rows = "\n".join(_row(run, found[run], records[run], common) for run in found)
    heads = "".join(f'<th scope="col" class="{kind}">{name}</th>' for name, kind in _COLUMNS.items())
    title = f"{folder.parent.name}/{folder.name}"
    body = f"""<header><h1>Profiles of {text(title)}</h1>{_summary(found)}</header>
<main><section><div class="scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></section></main>
"""
    return document(f"Profiles of {title}", body)


def _summary(found: Mapping[Path, dict[str, Any]]) -> str:
    rules: Counter[str] = Counter()
    advice: Counter[str] = Counter()
    for profile in found.values():
        rules.update(_triggered(profile))
        if isinstance(profile.get("override"), str):
            advice[profile["override"]] += 1
    if not rules:
        return paragraph(f"{len(found)} runs, and no rule found anything in any of them.")
    said = ", ".join(f"{name} in {count}" for name, count in rules.most_common())
    lines = paragraph(f"{len(found)} runs. Rules that found something: {said}.")
    if advice:
        override, count = advice.most_common(1)[0]
        lines += paragraph(f"Recommended most often, to {count} of them: {override}.", "advice")
    return lines


def _row(run: Path, profile: Mapping[str, Any], record: Mapping[str, Any], common: set[str]) -> str:
    lines = [str(line) for line in _list(record, "overrides") if str(line) not in common]
    own = " ".join(_LONG.sub(lambda found: f"{float(found[0]):.6g}", line) for line in lines)
    objective = record.get("objective")
    result = str(profile.get("state") or record.get("state", "unknown"))  # run.json is the last to know
    if isinstance(objective, dict) and isinstance(objective.get("value"), int | float):
        result += f", {objective.get('name')} {objective['value']:.4g}"
    spent = _spent(profile.get("split"))
    speed = profile.get("images_per_second")
    names = ", ".join(_triggered(profile)) or "nothing"
    override = profile.get("override")
    said = f"{names}; try {override}" if isinstance(override, str) else names
    name = text(run.name)
    page = run / "profiler" / "report.html"
    link = f'<a href="{quote(run.name)}/profiler/report.html">{name}</a>' if page.is_file() else name
    parts = [link, words(own), text(result), text(seconds(spent)),
             text(f"{speed:.0f}") if isinstance(speed, int | float) else "", words(said)]  # fmt: skip
    cells = (f'<td class="{kind}">{part}</td>' for kind, part in zip(_COLUMNS.values(), parts, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _spent(split: Any) -> float:
    """Seconds of a run by its split; ``training_step`` is the sum of others."""
    parts = split.items() if isinstance(split, dict) else ()
    return float(
        sum(value for name, value in parts if name != "training_step" and isinstance(value, int | float))
    )


def _triggered(profile: Mapping[str, Any]) -> list[str]:
    rules = profile.get("rules")
    if not isinstance(rules, dict):
        return []
    return [
        str(name) for name, rule in rules.items() if isinstance(rule, dict) and rule.get("triggered") is True
    ]


def _list(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []
