"""What other parts left in a run folder: findings, profiler sentences, reports, the confusion matrix."""

from __future__ import annotations

import base64
import csv
import io
import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweepmaker.compare import parts
from sweepmaker.compare.parts import attempt, say
from sweepmaker.compare.run import Run
from sweepmaker.run import untrusted

_MOST_FINDINGS = 5  # shown of one rule
_MOST_CLASSES = 200  # of a confusion matrix in a page
_MOST_MISTAKES = 24
_LARGEST_PICTURE = 400_000  # bytes
_NO_ROWS: list[list[str]] = []
_MISTAKE = ("image", "label", "prediction", "confidence", "tile")  # columns of mistakes_*.csv
_REPORTS = (
    ("profiler/report.html", "profiler report"),
    ("debugger/findings.json", "findings"),
    ("confusion_test.png", "confusion matrix"),
    ("metrics.csv", "metrics"),
    ("run.json", "record"),
)


def findings(run: Run) -> list[dict[str, Any]]:
    """What the debugger's rules found, one entry a rule with something to say."""
    found = []
    for name, rule in (run.rules or {}).items():
        if rule.get("status") not in ("IssuesFound", "Error"):
            continue
        first = [one for one in _list(rule.get("findings")) if isinstance(one, Mapping)][:_MOST_FINDINGS]
        said = first[0] if first else {}
        found.append({
            "rule": str(name),
            "count": rule.get("count"),
            "reason": rule.get("reason"),
            "where": ", ".join(f"step {one.get('step')}: {one.get('where')}" for one in first),
            "meaning": said.get("meaning"),
            "advice": said.get("advice"),
            "override": said.get("override"),
        })  # fmt: skip
    return found


def profile(run: Run) -> dict[str, Any] | None:
    """The profiler's sentences and the change it suggests.

    Raises:
        ValueError, OSError: as `parts.document`.
    """
    summary = parts.document(run.folder, "profiler/summary.json")
    sentences = [str(one) for one in _list(summary.get("sentences"))]
    if not sentences:
        return None
    return {"sentences": sentences, "override": summary.get("override")}


def links(run: Run, page: Path) -> list[dict[str, str]]:
    """Files of a run that are there, as links relative to the page's folder."""
    base = os.path.relpath(run.folder.absolute(), page)
    return [
        {"text": text, "href": "./" + quote(os.fsencode(f"{base}/{name}"))}  # a name may be no UTF-8
        for name, text in _REPORTS
        if (run.folder / name).is_file()
    ]


def confusion(run: Run) -> dict[str, Any] | None:
    """The confusion matrix of the test split, else of validation: names and counts, rows are labels."""
    for split in ("test", "valid"):
        name = f"confusion_{split}.csv"
        rows = attempt(run, name, partial(_table, run.folder, name), _NO_ROWS)
        names = rows[0][1:] if rows else []
        try:
            counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
        except ValueError:
            say(run, f"{name}: a count in it is no number")
            continue
        if names and len(counts) == len(names) and all(len(row) == len(names) for row in counts):
            pairs = sorted(_wrong(names, counts), key=lambda one: -one["count"])[:_MOST_MISTAKES]
            small = len(names) <= _MOST_CLASSES
            return {"split": split, "names": names if small else [], "counts": counts if small else [],
                    "classes": len(names), "pairs": pairs,
                    "right": sum(counts[i][i] for i in range(len(names))), "all": sum(map(sum, counts)),
                    "mistakes": mistakes(run, split)}  # fmt: skip
    return None


def _wrong(names: list[str], counts: list[list[int]]) -> Iterator[dict[str, Any]]:
    for label, row in enumerate(counts):
        for prediction, count in enumerate(row):
            if count and label != prediction:
                yield {"label": names[label], "prediction": names[prediction], "count": count, "of": sum(row)}


def mistakes(run: Run, split: str) -> dict[str, Any] | None:
    """The images that the run was wrong about with most confidence, where it kept them."""
    name, sheet = f"mistakes_{split}.csv", f"mistakes_{split}.png"
    table = attempt(run, name, partial(_table, run.folder, name), _NO_ROWS)
    if not table:
        return None
    if not set(_MISTAKE) <= set(table[0]):
        say(run, f"{name}: it has not the columns {', '.join(_MISTAKE)}")
        return None
    whole = [dict(zip(table[0], cells, strict=True)) for cells in table[1:] if len(cells) == len(table[0])]
    if len(whole) < len(table) - 1:
        say(run, f"{name}: {len(table) - 1 - len(whole)} rows are not whole")
    rows = [{column: row[column] for column in _MISTAKE} for row in whole[:_MOST_MISTAKES]]
    picture = attempt(run, sheet, partial(_picture, run.folder, sheet), b"")
    source = "data:image/png;base64," + base64.b64encode(picture).decode() if picture else None
    return {"rows": rows, "sheet": source}


def _picture(folder: Path, name: str) -> bytes:
    """A PNG of the folder's own; nothing else of a disk may end in a page that is passed on."""
    try:
        content = untrusted.read_inside(folder, name, _LARGEST_PICTURE)
    except FileNotFoundError:
        return b""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("it is no PNG image")
    return content


def _table(folder: Path, name: str) -> list[list[str]]:
    """All rows of a csv file; [] where there is none."""
    try:
        text = untrusted.read_inside(folder, name).decode()
    except FileNotFoundError:
        return []
    try:
        return [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
