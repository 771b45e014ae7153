"""Down-sampling keeps extremes and sums; histograms give the percentiles that numpy gives."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.profiler.series import Histogram, Series, duration_bins, percent_bins, plain

VALUES = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan)), min_size=1, max_size=300)


@settings(deadline=None)
@given(VALUES, st.sampled_from([2, 4, 8, 64]))
def test_no_extreme_is_lost_and_no_value_counts_twice(values: list[float], limit: int) -> None:
    series = Series(["a", "b"], limit)
    for time, value in enumerate(values):
        series.add(time, np.array([value, -1.0]))
    assert len(series) <= limit
    there = np.array([value for value in values if not math.isnan(value)])
    if len(there):
        assert np.nanmin(series.low("a")) == there.min() and np.nanmax(series.high("a")) == there.max()
        assert math.isclose(series._total[:, 0].sum(), there.sum(), rel_tol=1e-9, abs_tol=1e-3)
    assert series.has("a") == bool(len(there))
    assert series._total[:, 1].sum() == -len(values)
    assert list(series.time) == sorted(series.time) and series.time[0] == 0


@settings(deadline=None)
@given(VALUES, st.integers(0, 300))
def test_a_series_that_is_kept_and_read_goes_on_as_if_nothing_was(values: list[float], cut: int) -> None:
    whole, broken = Series(["a"], 8), Series(["a"], 8)
    for time, value in enumerate(values):
        row = np.array([round(value, 1) if abs(value) < 100 else 1.0])
        whole.add(time, row)
        if time == min(cut, len(values) - 1):
            broken = Series.of_dict(json.loads(json.dumps(whole.as_dict())), ["a", "new"])
        elif time > cut:
            broken.add(time, np.array([row[0], 5.0]))
    assert len(whole) == len(broken)
    np.testing.assert_allclose(whole.mean("a"), broken.mean("a"), rtol=1e-2, atol=0.06)
    np.testing.assert_allclose(whole.high("a"), broken.high("a"), rtol=1e-3, atol=1e-9)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=200), st.sampled_from([0.05, 0.5, 0.95]))
def test_percentiles_of_percentages(values: list[float], share: float) -> None:
    found = Histogram(["cpu"], percent_bins())
    found.add("cpu", np.array(values))
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert abs(found.quantile("cpu", share) - exact) <= 0.5
    assert found.count("cpu") == len(values)


@given(st.lists(st.floats(2e-5, 9e3), min_size=1, max_size=200))
def test_percentiles_of_durations(values: list[float]) -> None:
    found = Histogram(["step"], duration_bins())
    found.add("step", np.array(values))
    exact = float(np.quantile(values, 0.5, method="inverted_cdf"))
    assert math.isclose(found.quantile("step", 0.5), exact, rel_tol=0.07)
    again = Histogram(["step"], duration_bins())
    again.load(json.loads(json.dumps(found.as_dict())))
    assert again.as_dict() == found.as_dict()


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(Histogram(["a"], percent_bins()).quantile("a", 0.5))
    assert math.isnan(Histogram(["a"], percent_bins()).quantile("other", 0.5))


def test_numbers_for_json_are_short_and_nan_is_null() -> None:
    assert plain(np.array([[1 / 3, math.nan, 0.0], [12345.678, math.inf, -2e-7]])) == [
        [0.3333, None, 0.0], [12350.0, None, -2e-07],
    ]  # fmt: skip


@pytest.mark.parametrize("spoil", [{"names": 3}, {"time": [1, 2, 3]}, {"limit": 0}, {"low": "a"}])
def test_a_spoilt_series_is_refused(spoil: dict[str, object]) -> None:
    series = Series(["a"], 4)
    series.add(0, np.array([1.0]))
    with pytest.raises((KeyError, TypeError, ValueError)):
        Series.of_dict(series.as_dict() | spoil)
