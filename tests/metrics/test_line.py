"""The metric line and its regex: what is printed is read back, exactly."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.metrics import line

NAMES = st.from_regex(line.NAME, fullmatch=True).filter(lambda name: len(name) <= 100)


@given(NAMES, st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 999), st.integers(0, 10**9))
def test_every_float_is_read_back(name: str, value: float, epoch: int, step: int) -> None:
    text = line.format_line(name, value, epoch=epoch, step=step)
    assert line.parse(f"noise {text} noise\n{text}", name) == [value, value]


@given(NAMES, NAMES, st.floats(allow_nan=False, allow_infinity=False))
def test_only_its_own_name_is_read(name: str, other: str, value: float) -> None:
    for longer in (other, name + other, other + name, f"{name}/{other}", f"{name}_best"):
        text = line.format_line(longer, value, epoch=0, step=0)
        assert line.parse(text, name) == ([value] if longer == name else [])


@pytest.mark.parametrize("name", ["." * 99, "-" * 99, "/@.-" * 24])
def test_the_longest_names_fit_into_a_request(name: str) -> None:
    assert len(line.regex("a" + name)) <= 500


def test_values_are_read_in_order_from_a_whole_log() -> None:
    lines = [
        line.format_line("valid/top1_best", value, epoch=0, step=0) for value in (1e-05, -0.1, 1e300, 0.0)
    ]
    log = (
        "epoch 1/3  [metric] soon\n"
        + "\r\nnoise ".join(lines)
        + "[metric] valid/top1_best=nan epoch=1 step=2;"
    )
    assert line.parse(log, "valid/top1_best") == [1e-05, -0.1, 1e300, 0.0]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_cut_off_in_its_value_is_not_read(cut: int) -> None:
    text = line.format_line("a", 0.123456789, epoch=0, step=0)
    assert line.parse(text[: text.index(" epoch") - cut], "a") == []


@given(NAMES)
def test_the_regex_fits_into_a_request(name: str) -> None:
    expression = line.regex(name)
    assert len(expression) <= 500
    assert re.compile(expression).groups == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_is_not_read(value: float) -> None:
    assert line.parse(line.format_line("valid/loss", value, epoch=0, step=0), "valid/loss") == []


def test_a_name_is_not_taken_for_a_longer_one() -> None:
    text = line.format_line("valid/top1_best", 0.5, epoch=0, step=0)
    assert line.parse(text, "valid/top1") == []
    assert line.parse(line.format_line("avalid/top1", 0.5, epoch=0, step=0), "valid/top1") == []


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\n", "ü", "-a"])
def test_names_that_could_not_be_found_again_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="metric name"):
        line.format_line(name, 1.0, epoch=0, step=0)
