"""Which hyperparameters were searched on a logarithmic scale, from what a sweep's folder keeps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweepmaker.compare import configs
from sweepmaker.compare.filters import as_number
from sweepmaker.run import untrusted

_SWEEP = "multirun.yaml"
_LOG = re.compile(r"\btag\(\s*log\b|\bloguniform\b|'?log'?\s*:\s*true", re.IGNORECASE)
_LINEAR = re.compile(r"\binterval\(|\buniform\b|\brange\(")
_DECADES = 20.0  # a list of values that spans more than this factor, evenly in its logarithm


def log_keys(folders: Iterable[Path], values: Mapping[str, Sequence[float | None]]) -> set[str]:
    """Keys whose axis is logarithmic.

    As the sweeps in ``folders`` have it; where none of them says it (lists of values, single runs),
    positive values that span more than a factor of 20 are.

    Args:
        folders: of sweeps: with a ``launch.json`` or a ``multirun.yaml``.
        values: of each key, the numbers that it took; None for what is no number.
    """
    said: dict[str, bool] = {}
    for folder in folders:
        said |= _of_multirun(folder) | _of_launch(folder)
    found = set()
    for key, taken in values.items():
        numbers = [value for value in taken if value is not None]
        if not numbers or min(numbers) <= 0:
            continue
        if said.get(key, max(numbers) / min(numbers) > _DECADES):
            found.add(key)
    return found


def _of_launch(folder: Path) -> dict[str, bool]:
    """The ranges of a tuning job's request."""
    try:
        request = json.loads(untrusted.read_inside(folder, "launch.json"))["request"]
        config = request["HyperParameterTuningJobConfig"]
        ranges = config.get("ParameterRanges") or {}
        return {
            str(one["Name"]): one.get("ScalingType") in ("Logarithmic", "ReverseLogarithmic")
            for kind in ("ContinuousParameterRanges", "IntegerParameterRanges")
            for one in ranges.get(kind) or []
            if one.get("ScalingType") not in (None, "Auto")
        }
    except Exception:  # what made the sweep has other words for it: the values decide
        return {}


def _of_multirun(folder: Path) -> dict[str, bool]:
    """The sweep's own words, ours or a Hydra sweeper's."""
    try:
        lines = [str(line) for line in configs.load(folder, _SWEEP, "overrides").get("overrides") or []]
        hydra = configs.load(folder, _SWEEP, "hydra").get("hydra") or {}
        lines += [str(line) for line in (hydra.get("overrides") or {}).get("task") or []]
        params: Any = (hydra.get("sweeper") or {}).get("params") or {}
        lines += [f"{key}={value}" for key, value in params.items()]
    except Exception:  # likewise
        return {}
    found = {}
    for line in lines:
        key, _, value = line.partition("=")
        if _LOG.search(value):
            found[key.lstrip("+")] = True
        elif _LINEAR.search(value):
            found[key.lstrip("+")] = False
    return found


def numbers(texts: Iterable[str | None]) -> list[float | None]:
    """Texts of values as numbers, where they are."""
    return [as_number(text) for text in texts]
