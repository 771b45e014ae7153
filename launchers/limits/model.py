"""Any request against SageMaker's service model: members, types, sizes, values, patterns.

Source of every limit here: the model that botocore ships, which is the API reference in JSON.
"""

from __future__ import annotations

import datetime
import difflib
import functools
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from launchers.limits.at import Violation, entry, member_of
from launchers.limits.patterns import matches
from launchers.limits.shown import shown

_Shape = Mapping[str, Any]

_DEEPEST = 40  # a few shapes (search expressions) hold themselves
_ENUMS_SHOWN = 8
_BITS = {"integer": 32, "long": 64}
_KINDS = {
    "structure": "a structure",
    "map": "a map",
    "list": "a list",
    "string": "text",
    "integer": "a whole number",
    "long": "a whole number",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
    "timestamp": "a time",
}
# What a tuning job lacks is often what a training job has: worth more than "unknown".
_HAS_IT = {
    "HyperParameterTrainingJobDefinition": "CreateTrainingJobRequest",
    "HyperParameterAlgorithmSpecification": "AlgorithmSpecification",
    "HyperParameterTuningResourceConfig": "ResourceConfig",
}
_IN_WORDS = {
    "[a-zA-Z0-9](-*[a-zA-Z0-9])": "letters, digits and hyphens, a letter or digit at both ends",
    "arn:aws[a-z\\-]*:iam::": "a role's ARN such as arn:aws:iam::<account>:role/<name>",
    "(https|s3)://": "an address such as s3://bucket/prefix",
    "[a-zA-Z_][a-zA-Z0-9_]*": "letters, digits and underscores, no digit in front",
    "([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)": "letters, digits, spaces and _ . : / = + - @",
    "[-0-9a-zA-Z]+": "letters, digits and hyphens",
    ".*": "one line",
    ".+": "one line",
}


def input_shape(operation: str) -> str:
    """The name of an operation's input shape; empty for one without arguments.

    Raises:
        ValueError: SageMaker has no such operation.
    """
    inputs = _service()[1]
    if operation not in inputs:
        near = difflib.get_close_matches(operation, inputs, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"SageMaker has no operation {shown(operation)}.{hint}")
    return inputs[operation]


@functools.cache
def answer_members(operation: str) -> frozenset[str]:
    """The names of the members that an operation (as the API names it: ``DescribeModel``) answers."""
    shape = loader().load_service_model("sagemaker", "service-2")["operations"][operation]["output"]["shape"]
    return frozenset(_shape(shape)["members"])


def violations(shape: str, request: Any) -> Iterator[Violation]:
    """What in ``request`` does not fit the named shape."""
    yield from _walk(shape or "_NoArguments", request, "", 0)


@functools.cache
def loader() -> Any:
    """What reads service models: a client that is given it reads SageMaker's no second time."""
    from botocore.loaders import Loader

    return Loader()


@functools.cache
def _service() -> tuple[Mapping[str, _Shape], Mapping[str, str]]:
    """The shapes by name, and each operation's input shape by the operation's name in boto3."""
    # a tenth of a second: paid by the first request only
    from botocore import xform_name

    model = loader().load_service_model("sagemaker", "service-2")
    shapes: dict[str, _Shape] = dict(model["shapes"])
    shapes["_NoArguments"] = {"type": "structure", "members": {}}
    inputs = {
        xform_name(name): operation.get("input", {}).get("shape", "")
        for name, operation in model["operations"].items()
    }
    return shapes, inputs


def _shape(name: str) -> _Shape:
    return _service()[0][name]


def _walk(name: str, value: Any, path: str, depth: int) -> Iterator[Violation]:
    shape = _shape(name)
    if depth > _DEEPEST:
        yield Violation(path, "is nested too deep", f"{_DEEPEST} levels")
    elif not _fits(shape["type"], value):
        yield _wrong_type(shape["type"], value, path)
    elif shape["type"] == "structure":
        yield from _structure(name, shape, value, path, depth)
    elif shape["type"] == "list":
        yield from _size(shape, len(value), "items", path)
        for index, item in enumerate(islice(value, shape.get("max"))):
            yield from _walk(shape["member"]["shape"], item, f"{path}[{index}]", depth + 1)
    elif shape["type"] == "map":
        yield from _size(shape, len(value), "entries", path)
        for key, item in islice(value.items(), shape.get("max")):
            yield from _walk(shape["key"]["shape"], key, entry(path, key), depth + 1)
            yield from _walk(shape["value"]["shape"], item, entry(path, key), depth + 1)
    elif shape["type"] == "string":
        yield from _text(shape, value, path)
    elif shape["type"] in ("integer", "long", "float", "double"):
        yield from _number(shape, value, path)


def _fits(kind: str, value: Any) -> bool:
    """Whether a value has a shape's type; NaN and the infinities are no numbers, true is no 1."""
    match kind:
        case "structure" | "map":
            return isinstance(value, Mapping)
        case "list":
            return isinstance(value, list | tuple)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer" | "long":
            return isinstance(value, int) and not isinstance(value, bool)
        case "timestamp":
            return _is_time(value)
        case _:
            return _is_number(value)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        return False


def _is_time(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, datetime.date) or _is_number(value)
    try:
        datetime.datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _wrong_type(kind: str, value: Any, path: str) -> Violation:
    wanted = _KINDS.get(kind, kind)
    if value is None:
        return Violation(path, "is null", wanted, "leave the member out")
    fix = ""
    if kind == "string" and isinstance(value, int | float):
        fix = (
            f"write it as text: '{value}'" if _is_number(value) and abs(value) < 1e18 else "write it as text"
        )
    elif kind in ("integer", "long", "float", "double") and isinstance(value, str):
        fix = "write it without quotes"
    # of a whole map not even the beginning is shown: it may hold what nobody should see
    seen = f"{type(value).__name__} value" if kind in ("map", "structure") else shown(value)
    return Violation(path, f"{seen} is not {wanted}", wanted, fix)


def _structure(
    name: str, shape: _Shape, value: Mapping[Any, Any], path: str, depth: int
) -> Iterator[Violation]:
    members = shape["members"]
    for member, target in members.items():
        here = member_of(path, member)
        if member in value and target.get("jsonvalue"):
            continue  # anything that JSON can hold
        if member in value:
            yield from _walk(target["shape"], value[member], here, depth + 1)
        elif member in shape.get("required", ()) and not target.get("idempotencyToken"):
            # (botocore makes an idempotency token itself)
            yield Violation(here, "is missing", f"required: {_KINDS[_shape(target['shape'])['type']]}")
    for member in value:
        if member not in members:
            yield _unknown(name, members, member, path)
    if shape.get("union") and len(value) != 1:
        allowed = f"exactly one of {_clipped(list(members))}"
        yield Violation(path, f"{len(value)} of its members are set", allowed)


def _unknown(name: str, members: Mapping[str, Any], member: object, path: str) -> Violation:
    where = member_of(path, member)
    if not isinstance(member, str):
        return Violation(path, f"{shown(member)} is not the name of a member", "names are text")
    near = _close(member, list(members))
    fix = f"did you mean {near[0]}?" if near else "leave it out"
    other = _HAS_IT.get(name)
    if other and member in _shape(other)["members"]:
        fix = "leave it out: it is for single training jobs, a tuning job cannot have it"
    return Violation(where, f"{shown(member)} is not a member of {name}", _clipped(list(members), near), fix)


def _text(shape: _Shape, value: str, path: str) -> Iterator[Violation]:
    enum, pattern = shape.get("enum"), shape.get("pattern")
    sizes = list(_size(shape, len(value), "characters", path, value))
    yield from sizes
    if enum and value not in enum:
        near = _close(value, enum)
        fix = f"did you mean {near[0]}?" if near else ""
        yield Violation(path, f"{shown(value)} is not one of its values", _clipped(list(enum), near), fix)
    elif pattern and not sizes and not matches(pattern, value):
        words = next((text for start, text in _IN_WORDS.items() if _speaks_of(start, pattern)), "")
        allowed = f"{words} (pattern {pattern})" if words else f"pattern {pattern}"
        yield Violation(path, f"{shown(value)} does not match its pattern", allowed)


def _speaks_of(start: str, pattern: str) -> bool:
    return pattern == start if start in (".*", ".+") else pattern.startswith(start)


def _number(shape: _Shape, value: float, path: str) -> Iterator[Violation]:
    low, high = shape.get("min"), shape.get("max")
    bits = _BITS.get(shape["type"])
    if bits:
        low = -(2 ** (bits - 1)) if low is None else low
        high = 2 ** (bits - 1) - 1 if high is None else high
    if (low is not None and value < low) or (high is not None and value > high):
        yield Violation(
            path, f"{shown(value)} is outside of its range", _range(low, high, _KINDS[shape["type"]])
        )


def _size(shape: _Shape, size: int, unit: str, path: str, value: str | None = None) -> Iterator[Violation]:
    low, high = shape.get("min", 0), shape.get("max")
    if size < low or (high is not None and size > high):
        subject = f"{shown(value)} has" if value is not None else "has"
        yield Violation(path, f"{subject} {size} {unit}", _range(low, high, unit))


def _range(low: float | None, high: float | None, unit: str) -> str:
    span = f"at least {low}" if high is None else f"at most {high}" if low is None else f"{low} to {high}"
    return f"{unit}, {span}" if unit in _KINDS.values() else f"{span} {unit}"


def _close(word: str, names: list[str]) -> list[str]:
    """The names that ``word`` may have been meant for, capitals aside, best first."""
    # comparing takes time with the square of the length
    lower = {name.lower(): name for name in names}
    return [lower[near] for near in difflib.get_close_matches(word[:100].lower(), lower, n=3)]


def _clipped(names: list[str], near: list[str] | None = None) -> str:
    """The names for a message; of a long list the first ones, or those that may have been meant."""
    chosen = names if len(names) <= _ENUMS_SHOWN else near or names[:_ENUMS_SHOWN]
    more = len(names) - len(chosen)
    return " | ".join(chosen) + (f" | ... ({more} more)" if more > 0 else "")
