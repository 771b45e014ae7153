"""Configs and environments of all runs: what most have in common once, of each run what is different."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sweepmaker.compare import configs
from sweepmaker.compare.run import Run


def compact(nodes: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """``base``, and for each node a mapping of what differs from it; None: the key is not there."""
    counts: dict[str, Counter[str]] = {}
    for node in nodes:
        for key, text in node.items():
            counts.setdefault(key, Counter())[text] += 1
    base: dict[str, str] = {}
    for key, texts in counts.items():
        missing = len(nodes) - texts.total()
        text, most = texts.most_common(1)[0]
        if most >= missing:
            base[key] = text
    own: list[dict[str, str | None]] = []
    for node in nodes:
        changed: dict[str, str | None] = {key: text for key, text in node.items() if base.get(key) != text}
        own.append(changed | {key: None for key in base if key not in node})
    return {"base": base, "own": own}


def config(run: Run) -> dict[str, str]:
    """The flat config of a run.

    Raises:
        ValueError, OSError: as `configs.load`.
    """
    return configs.config(run.folder)


def environment(run: Run) -> dict[str, str]:
    """What beside the config could explain a result."""
    record = run.record
    data = record.get("data")
    known = {
        "git": record.get("git"),
        "weights": run.weights,
        "versions": record.get("versions"),
        "hardware": record.get("hardware"),
        "data": {key: data[key] for key in ("source", "fingerprint", "counts") if key in data}
        if isinstance(data, Mapping)
        else None,
        "host": record.get("host"),
        "where": (record.get("job") or {}).get("where") if isinstance(record.get("job"), Mapping) else None,
        "choices": {
            key: value.get("value") if isinstance(value, Mapping) else value
            for key, value in (record.get("choices") or {}).items()
        },
    }
    return configs.flat({key: value for key, value in known.items() if value not in (None, {}, "")})
