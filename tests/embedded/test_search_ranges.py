"""Ranges: what is drawn is inside, of the right type, even on its scale, and can be read back."""

from __future__ import annotations

import math
import random
import warnings
from statistics import fmean

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from launchers.embedded.search import Earlier, Range, Search, Spec
from launchers.embedded.search.axis import Axis
from launchers.embedded.search.spec import Scale

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.floats(min_value=5e-324, allow_infinity=False)
BELOW_ONE = st.floats(min_value=0, max_value=1, exclude_max=True)
WHOLE = st.integers(-(10**200), 10**200) | st.integers(-50, 50)
NATURAL = st.integers(1, 10**200) | st.integers(1, 50)


def two(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, float]]:
    """Two different numbers in order."""
    pair = st.tuples(values, values).map(lambda ends: (min(ends), max(ends)))
    return pair.filter(lambda ends: ends[0] < ends[1])


def made(kind: str, scales: tuple[Scale, ...], ends: st.SearchStrategy[float]) -> st.SearchStrategy[Range]:
    return st.builds(
        lambda scale, pair: Range("x", kind, *pair, scale),  # type: ignore[arg-type]
        st.sampled_from(scales),
        two(ends),
    )


CONTINUOUS = (
    made("continuous", ("linear", "auto"), FINITE)
    | made("continuous", ("log",), POSITIVE)
    | made("continuous", ("reverse_log",), BELOW_ONE)
)
INTEGER = made("integer", ("linear", "auto"), WHOLE) | made("integer", ("log",), NATURAL)
CATEGORICAL = st.lists(st.text(max_size=5), min_size=1, max_size=6, unique=True).map(
    lambda values: Range("x", "categorical", values=tuple(values))
)


def inside(one: Range, text: str) -> bool:
    """Whether the text is of the range's kind, and no further than its ends."""
    if one.kind == "categorical":
        return text in one.values
    value = int(text) if one.kind == "integer" else float(text)
    assert repr(value) == text
    assert one.low is not None and one.high is not None
    return one.low <= value <= one.high


@given(one=CONTINUOUS | INTEGER | CATEGORICAL, seed=st.integers(0, 2**63))
@settings(deadline=None, max_examples=300)
@example(one=Range("x", "continuous", 0, 5e-324), seed=1)
@example(one=Range("x", "continuous", -1.7e308, 1.7e308), seed=1)
@example(one=Range("x", "continuous", 1.7976931348623155e308, 1.7976931348623157e308, "log"), seed=1)
@example(one=Range("x", "continuous", 0.0, 1e-320, "reverse_log"), seed=1)
@example(one=Range("x", "continuous", 5e-324, 1.7976931348623157e308, "log"), seed=1)
@example(one=Range("x", "integer", 2**53, 2**53 + 10, "log"), seed=1)
def test_chance_stays_inside(one: Range, seed: int) -> None:
    search = Search(Spec("Random", (one,), True, max_jobs=20, seed=seed))
    for number in range(20):
        asked = search.ask()
        assert asked is not None and asked[0] == number
        assert inside(one, asked[1]["x"])


@given(one=CONTINUOUS | INTEGER | CATEGORICAL, seed=st.integers(0, 2**63))
@settings(deadline=None, max_examples=60)
@example(one=Range("x", "continuous", 0, 5e-324), seed=1)
@example(one=Range("x", "continuous", -1.7e308, 1.7e308), seed=1)
@example(one=Range("x", "continuous", 1.7976931348623155e308, 1.7976931348623157e308, "log"), seed=1)
@example(one=Range("x", "continuous", 0.0, 1e-320, "reverse_log"), seed=1)
@example(one=Range("x", "continuous", 5e-324, 1.7976931348623157e308, "log"), seed=1)
@example(one=Range("x", "integer", 10**30, 10**30 + 5), seed=1)
@example(one=Range("x", "integer", 2**53, 2**53 + 10, "log"), seed=1)
def test_bayesian_stays_inside(one: Range, seed: int) -> None:
    search = Search(Spec("Bayesian", (one,), False, max_jobs=14, seed=seed))
    values = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's, of ranges at the ends of what a float can be
        while (asked := search.ask()) is not None:
            assert inside(one, asked[1]["x"])
            search.tell(asked[0], values.random())


@given(one=CONTINUOUS | INTEGER | CATEGORICAL, seed=st.integers(0, 2**63))
@settings(deadline=None, max_examples=200)
def test_what_was_sent_is_read_back(one: Range, seed: int) -> None:
    axis = Axis(one)
    text = axis.draw(random.Random(seed))
    seen = axis.seen(text)
    assert seen is not None
    assert axis.distribution._contains(axis.distribution.to_internal_repr(seen))
    back = axis.text(seen)
    if one.kind == "categorical":
        assert back == text
        return
    low, high = one.low or 0, one.high or 0
    if one.kind == "integer" and max(-low, high) <= 2**53:  # beyond, a float does not hold each
        assert back == text
    else:  # halves: what is between the ends may be more than a float can be
        width = high / 2 - low / 2
        assert abs(float(back) / 2 - float(text) / 2) <= 1e-9 * max(width, abs(float(text)), 1e-300)


@pytest.mark.parametrize("text", ["0.5", "4.5", "", "x", "nan", "inf", "1e400", "2.5.1"])
def test_what_is_outside_or_no_number_is_not_read(text: str) -> None:
    assert Axis(Range("x", "continuous", 1.0, 4.0)).seen(text) is None
    assert Axis(Range("x", "integer", 1, 4)).seen(text) is None


def test_both_ends_of_a_range_belong_to_it() -> None:
    for scale, low, high in (("linear", -1.0, 3.0), ("log", 1e-4, 0.1), ("reverse_log", 0.0, 0.999)):
        axis = Axis(Range("x", "continuous", low, high, scale))
        assert float(axis.text(axis.seen(repr(low)))) == low
        assert float(axis.text(axis.seen(repr(high)))) == high

    class First(random.Random):
        def randint(self, a: int, b: int) -> int:
            return a

    class Last(random.Random):
        def randint(self, a: int, b: int) -> int:
            return b

    for scale, low, high in (("linear", -1.0, 3.0), ("log", 1e-4, 0.1), ("reverse_log", 0.0, 0.999)):
        axis = Axis(Range("x", "continuous", low, high, scale))
        drawn = sorted(float(axis.draw(source)) for source in (First(), Last()))
        assert drawn == pytest.approx([low, high], rel=1e-12)


def suggested(strategy: str, one: Range, count: int) -> list[float]:
    """Of Bayesian search only its first ten each, which are drawn at random."""
    found: list[float] = []
    for seed in range(count // 10):
        search = Search(Spec(strategy, (one,), True, max_jobs=10, seed=seed))
        while (asked := search.ask()) is not None:
            found.append(float(asked[1]["x"]))
    return found


def even(places: list[float]) -> bool:
    """Whether places of the unit interval are spread evenly (Kolmogorov-Smirnov, level about 1e-4)."""
    places = sorted(places)
    count = len(places)
    apart = max(max(abs(x - i / count), abs(x - (i + 1) / count)) for i, x in enumerate(places))
    return apart < 2.23 / math.sqrt(count)


@pytest.mark.parametrize("strategy", ["Random", "Hyperband", "Bayesian"])
@pytest.mark.parametrize("kind", ["linear", "log", "reverse_log"])
def test_a_scale_is_sampled_as_such(strategy: str, kind: Scale) -> None:
    low, high = {"linear": (-2.0, 5.0), "log": (1e-5, 1e-1), "reverse_log": (0.0, 0.9999)}[kind]
    values = suggested(strategy, Range("x", "continuous", low, high, kind), 1000)
    laid_out = {"linear": lambda x: x, "log": math.log, "reverse_log": lambda x: -math.log(1 - x)}
    ends = {name: (laid_out[name](low), laid_out[name](high)) for name in ("linear", kind)}
    first, last = ends[kind]
    assert even([(laid_out[kind](x) - first) / (last - first) for x in values])
    first, last = ends["linear"]
    assert even([(x - first) / (last - first) for x in values]) == (kind == "linear")


def test_integers_have_equal_chances_on_their_scale() -> None:
    source = random.Random(0)

    def shares(one: Range) -> list[float]:
        values = [Axis(one).draw(source) for _ in range(4000)]
        return [values.count(str(x)) / 4000 for x in range(1, 4)]

    assert shares(Range("x", "integer", 1, 3)) == pytest.approx([1 / 3] * 3, abs=0.03)
    parts = [math.log(b / a) / math.log(3.5 / 0.5) for a, b in ((0.5, 1.5), (1.5, 2.5), (2.5, 3.5))]
    assert shares(Range("x", "integer", 1, 3, "log")) == pytest.approx(parts, abs=0.03)


def test_auto_is_logarithmic_where_a_range_goes_over_powers_of_ten() -> None:
    assert Axis(Range("x", "continuous", 1e-4, 1e-1, "auto")).scale == "log"
    assert Axis(Range("x", "integer", 1, 100, "auto")).scale == "log"
    assert Axis(Range("x", "continuous", 0.1, 0.9, "auto")).scale == "linear"
    assert Axis(Range("x", "continuous", 0, 1e6, "auto")).scale == "linear"
    assert Axis(Range("x", "integer", -5, 500, "auto")).scale == "linear"


def test_huge_integers_are_spread_over_their_range() -> None:
    low, high = 10**40, 3 * 10**40
    values = suggested("Bayesian", Range("x", "integer", low, high), 200)
    assert fmean((value - low) / (high - low) for value in values) == pytest.approx(0.5, abs=0.1)
    search = Search(
        Spec("Bayesian", (Range("x", "integer", low, high),), True, max_jobs=1, seed=0),
        [Earlier({"x": str(low + 7)}, 0.5), Earlier({"x": "12"}, 0.9)],
    )
    assert search.ask() is not None
