"""Whatever stands in a request, there are answers and no exceptions."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launchers.limits import model, violations
from tests.limits.good import GONE, GOOD, TRAINING, TUNING, several, spoiled

ODD = [
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "a" * 3000,
    "9" * 5000,
    "\ud800",
    "\x00",
    "\u2028",
    "(" * 300,
    "(?P<x",
    "[[a]",
]
TELLING = [
    "Grid",
    "Hyperband",
    "Random",
    "FastFile",
    "s3://b/k",
    "ml.g5.xlarge",
    "arn:aws:kms:",
    "a{99999999999}",
]
TEXTS = st.text(max_size=12) | st.sampled_from(ODD + TELLING)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 2**31, 2**63, 10**400])
    | st.floats()
    | TEXTS
)
NAMES = TEXTS | st.sampled_from(
    ["Name", "Values", "Key", "Value", "MinValue", "InstanceType", "S3Uri", "Regex"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
BASES = [
    *((operation, request) for operation, request in GOOD.items()),
    (TUNING, spoiled(TUNING, several(2))),
]


def places(value: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside ``value``."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield (*steps, step)
        yield from places(item, (*steps, step))


PLACES = [(operation, request, steps) for operation, request in BASES for steps in places(request)]


def changed(request: Any, steps: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at one place; GONE takes it out."""
    request = copy.deepcopy(request)
    parent = request
    for step in steps[:-1]:
        parent = parent[step]
    if value is GONE:
        del parent[steps[-1]]
    else:
        parent[steps[-1]] = value
    return request


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_at_any_place(place: tuple[str, Any, tuple[Any, ...]], value: Any) -> None:
    operation, request, steps = place
    for one in violations(operation, changed(request, steps, value)):
        assert one.message and one.allowed
        assert len(one.message) < 500
        (one.path + one.message + one.allowed + one.fix).encode()  # can be printed


@pytest.mark.parametrize("value", [GONE, None, [], {}, float("nan"), [[{"": None}]]], ids=repr)
def test_odd_values_at_every_place(value: Any) -> None:
    for operation, request in GOOD.items():
        for steps in places(request):
            violations(operation, changed(request, steps, value))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(model._service()[1])), VALUES)
def test_any_request_of_any_operation(operation: str, request: Any) -> None:
    violations(operation, request)


@settings(deadline=None, max_examples=100)
@given(TEXTS.filter(lambda text: text not in model._service()[1]))  # constants of the code are tried, too
def test_an_operation_that_is_none(operation: str) -> None:
    with pytest.raises(ValueError, match="no operation"):
        violations(operation, {})


def test_deep_requests_and_huge_numbers() -> None:
    request: Any = {}
    for _ in range(5000):
        request = {"SubExpressions": [request]}
    found = violations("search", {"Resource": "TrainingJob", "SearchExpression": request})
    assert "is nested too deep" in [one.message for one in found]
    assert violations(TRAINING, {"Environment": request})
    for path in ("jobs", "static.x", "wait", "lr.MaxValue"):
        assert violations(TUNING, spoiled(TUNING, {path: 10**5000}))


def test_a_request_is_left_as_it_was() -> None:
    for operation, request in BASES:
        before = json.dumps(request)
        violations(operation, request)
        assert json.dumps(request) == before
