"""Is the job that is there the one that was asked for? Every field that was sent, compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_NAMES = ("Name", "ChannelName", "DefinitionName", "HyperParameterTuningJobName", "RuleConfigurationName")
_LIMITS = ("MinValue", "MaxValue")  # numbers as text; "1e-4" and "0.0001" are the same range
_CLIP = 80  # characters of a value in a message


def differences(sent: Mapping[str, Any], described: Mapping[str, Any], shape: Any) -> list[str]:
    """``field: wanted X, there Y`` for each field of a request that the job does not have.

    What the service adds (defaults, ``_tuning_objective_metric``) is no difference, nor are fields
    that Describe never answers (tags).

    Args:
        sent: the request.
        described: the service's answer.
        shape: botocore's output shape of the describe call.
    """
    return list(_structure(sent, described, shape, ""))


def _structure(sent: Mapping[str, Any], there: Mapping[str, Any], shape: Any, path: str) -> Iterator[str]:
    for name, wanted in sent.items():
        member = shape.members.get(name)
        if member is not None:
            yield from _value(wanted, there.get(name), member, f"{path}.{name}" if path else name)


def _value(wanted: Any, there: Any, shape: Any, path: str) -> Iterator[str]:
    if there is None and _is_empty(wanted):
        return  # an empty field comes back as none
    kind = shape.type_name
    if there is None:
        yield _line(path, wanted, there)
    elif kind == "structure":
        yield from _structure(wanted, there, shape, path)
    elif kind == "map":
        yield from _map(wanted, there, path)
    elif kind == "list":
        yield from _list(wanted, there, shape.member, path)
    elif not _equal(wanted, there, path):
        yield _line(path, wanted, there)


def _map(wanted: Mapping[str, Any], there: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in sorted(wanted.keys() | there.keys()):
        added = name not in wanted and name.startswith("_")  # by the service
        if not added and wanted.get(name) != there.get(name):
            yield _line(f"{path}.{name}", wanted.get(name), there.get(name))


def _list(wanted: Sequence[Any], there: Sequence[Any], member: Any, path: str) -> Iterator[str]:
    wanted, there = sorted(wanted, key=_order), sorted(there, key=_order)
    if len(wanted) != len(there) or member.type_name not in ("structure", "map", "list"):
        if wanted != there:
            yield _line(path, wanted, there)
        return
    for number, (one, other) in enumerate(zip(wanted, there, strict=True)):
        yield from _value(one, other, member, f"{path}[{number}]")


def _order(entry: Any) -> str:
    """No list of a request means anything by its order, but for those of structures without a name."""
    if isinstance(entry, Mapping):
        return next((str(entry[name]) for name in _NAMES if name in entry), "")
    return str(entry)


def _equal(wanted: Any, there: Any, path: str) -> bool:
    if isinstance(wanted, float) or path.rpartition(".")[2] in _LIMITS:
        try:
            return math.isclose(float(wanted), float(there), rel_tol=1e-6)
        except (TypeError, ValueError):
            return False
    return bool(wanted == there)


def _is_empty(value: Any) -> bool:
    """Nothing, or structures with nothing in them; ``false`` is what an absent switch means, 0 is a value."""
    if isinstance(value, Mapping):
        return all(_is_empty(entry) for entry in value.values())
    return value is None or value is False or value == [] or value == ""


def _line(path: str, wanted: Any, there: Any) -> str:
    return f"{path}: wanted {_clipped(wanted)}, there {_clipped(there)}"


def _clipped(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _CLIP else text[: _CLIP - 3] + "..."
