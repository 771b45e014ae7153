"""A trial's metrics, as they are read from its output."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from launchers.embedded.metrics import Metrics

REGEX = r"\[metric\] score=([-+.\w]+) "
LINE = "[metric] score={} epoch={} step={};"


def metrics(regex: str = REGEX) -> Metrics:
    return Metrics([{"Name": "score", "Regex": regex}], "score")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_every_value_is_found_and_the_last_one_stays(values: list[float]) -> None:
    found = metrics()
    reached = [one for epoch, value in enumerate(values) for one in found.read(LINE.format(value, epoch, 1))]
    assert reached == [(epoch + 1, value) for epoch, value in enumerate(values)]
    assert (found.value, found.seen) == (values[-1], len(values))


@given(st.lists(st.integers(0, 9), max_size=30))
def test_an_epoch_that_comes_again_is_no_progress(epochs: list[int]) -> None:
    found = metrics()
    reached = [resource for epoch in epochs for resource, _ in found.read(LINE.format(0.5, epoch, 1))]
    assert reached == sorted(set(reached))
    assert max(reached, default=0) == max(epochs, default=-1) + 1


@given(st.text())
def test_any_line_is_taken(line: str) -> None:
    found = metrics(r"(.*)")
    for _, value in found.read(line):
        assert math.isfinite(value)


def test_what_is_no_number_is_left_out() -> None:
    found = metrics()
    for word in ("nan", "inf", "-inf", "none", "1e999"):
        assert list(found.read(LINE.format(word, 0, 0))) == []
    assert (found.value, found.seen) == (None, 0)


def test_without_epochs_lines_are_counted() -> None:
    found = metrics(r"score=(\S+)")
    assert [one for _ in range(3) for one in found.read("score=0.5")] == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_a_regex_that_would_never_end_is_given_up() -> None:
    found = Metrics(
        [{"Name": "slow", "Regex": "loss=(a|aa)+$"}, {"Name": "score", "Regex": "score=([0-9.]+)"}], "score"
    )
    assert list(found.read("score=0.5 loss=" + "a" * 60 + "!")) == [(1, 0.5)]
    (told,) = found.given_up
    assert "metric slow" in told
    assert list(found.read("score=0.75 loss=" + "a" * 60 + "!")) == [(2, 0.75)]
    assert len(found.given_up) == 1


def test_a_line_that_is_written_over_and_over_counts_each_time() -> None:
    """Progress bars end their lines with a carriage return."""
    found = Metrics([{"Name": "loss", "Regex": "loss=([0-9.]+)"}], "loss")
    reached = list(found.read("".join(f"\rloss={number}" for number in range(2000))))
    assert reached[-1] == (2000, 1999.0) and found.value == 1999.0
