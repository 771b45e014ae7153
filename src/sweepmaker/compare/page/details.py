"""What other parts left in a run folder: findings, profiler sentences, reports, the confusion matrix."""

from __future__ import annotations

import base64
import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweepmaker.compare.run import Run

_MOST_FINDINGS = 5  # shown of one rule
_MOST_CLASSES = 200  # of a confusion matrix in a page
_MOST_MISTAKES = 24
_LARGEST_PICTURE = 400_000  # bytes
_REPORTS = (
    ("profiler/report.html", "profiler report"),
    ("debugger/findings.json", "findings"),
    ("confusion_test.png", "confusion matrix"),
    ("metrics.csv", "metrics"),
    ("run.json", "record"),
)


def findings(folder: Path) -> list[dict[str, Any]]:
    """What the debugger's rules found, one entry a rule with something to say."""
    rules = _json(folder / "debugger" / "findings.json").get("rules")
    found = []
    for name, rule in rules.items() if isinstance(rules, Mapping) else ():
        if not isinstance(rule, Mapping) or rule.get("status") not in ("IssuesFound", "Error"):
            continue
        first = [one for one in rule.get("findings") or [] if isinstance(one, Mapping)][:_MOST_FINDINGS]
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


def profile(folder: Path) -> dict[str, Any] | None:
    """The profiler's sentences and the change it suggests."""
    summary = _json(folder / "profiler" / "summary.json")
    sentences = [str(one) for one in summary.get("sentences") or []]
    if not sentences:
        return None
    return {"sentences": sentences, "override": summary.get("override")}


def links(folder: Path, page: Path) -> list[dict[str, str]]:
    """Files of a run that are there, as links relative to the page's folder."""
    base = os.path.relpath(folder.absolute(), page)
    return [
        {"text": text, "href": "./" + quote(f"{base}/{name}")}
        for name, text in _REPORTS
        if (folder / name).is_file()
    ]


def confusion(run: Run) -> dict[str, Any] | None:
    """The confusion matrix of the test split, else of validation: names and counts, rows are labels."""
    for split in ("test", "valid"):
        try:
            with (run.folder / f"confusion_{split}.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.reader(file))
            names = rows[0][1:]
            counts = [[int(cell) for cell in row[1:]] for row in rows[1:]]
        except (OSError, ValueError, IndexError, csv.Error):
            continue
        if names and len(counts) == len(names) and all(len(row) == len(names) for row in counts):
            pairs = sorted(_wrong(names, counts), key=lambda one: -one["count"])[:_MOST_MISTAKES]
            small = len(names) <= _MOST_CLASSES
            return {"split": split, "names": names if small else [], "counts": counts if small else [],
                    "classes": len(names), "pairs": pairs,
                    "right": sum(counts[i][i] for i in range(len(names))), "all": sum(map(sum, counts)),
                    "mistakes": mistakes(run.folder, split)}  # fmt: skip
    return None


def _wrong(names: list[str], counts: list[list[int]]) -> Iterator[dict[str, Any]]:
    for label, row in enumerate(counts):
        for prediction, count in enumerate(row):
            if count and label != prediction:
                yield {"label": names[label], "prediction": names[prediction], "count": count, "of": sum(row)}


def mistakes(folder: Path, split: str) -> dict[str, Any] | None:
    """The images that the run was wrong about with most confidence, where it kept them."""
    try:
        with (folder / f"mistakes_{split}.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))[:_MOST_MISTAKES]
    except (OSError, ValueError, csv.Error):
        return None
    sheet = folder / f"mistakes_{split}.png"
    try:
        picture = sheet.read_bytes() if sheet.stat().st_size <= _LARGEST_PICTURE else b""
    except OSError:
        picture = b""
    source = "data:image/png;base64," + base64.b64encode(picture).decode() if picture else None
    return {"rows": rows, "sheet": source}


def _json(path: Path) -> dict[str, Any]:
    """A file that some part may be writing, may have left broken, or never wrote."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
