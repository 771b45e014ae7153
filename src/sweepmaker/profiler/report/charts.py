"""Plots as inline SVG that stretches with the page, their text as HTML that does not.

A plot of fixed proportions would shrink its letters on a phone to half the size of the text around it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweepmaker.profiler.report.markup import figure, percent, seconds, text
from sweepmaker.profiler.series import Floats

_POINTS = 320  # of a curve; more than a phone has pixels
_COLOURS = 9
_GAP = 12  # times the usual distance of two points, from where no line joins them


@dataclass(frozen=True)
class Curve:
    """Values over time: the mean as a line, lowest to highest as the band around it."""

    name: str
    time: Floats
    mean: Floats
    low: Floats | None = None
    high: Floats | None = None


def curves(
    caption: str,
    shown: Sequence[Curve],
    *,
    top: float | None = None,
    unit: Callable[[float], str] = percent,
    across: Callable[[float], str] = seconds,
    small: bool = False,
) -> str:
    """Curves in one plot from 0 to ``top`` (None: the highest value); empty where nothing was measured.

    Args:
        unit: words for a value.
        across: words for a place on the horizontal axis.
        small: not as high as others.
    """
    shown = [_thinned(curve) for curve in shown if np.isfinite(curve.mean).any()]
    if not shown:
        return ""
    highs = [curve.mean if curve.high is None else curve.high for curve in shown]
    limit = top if top is not None else _round_up(float(max(np.nanmax(high) for high in highs)))
    lows = [curve.mean if curve.low is None else curve.low for curve in shown]
    bottom = min(0.0, float(min(np.nanmin(low) for low in lows)))
    start, end = min(curve.time[0] for curve in shown), max(curve.time[-1] for curve in shown)
    place = _Place(start, max(end, start + 1e-9), bottom, max(limit, bottom + 1e-12))
    bands = "".join(_band(curve, place, number) for number, curve in enumerate(shown))
    lines = "".join(_line(curve, place, number) for number, curve in enumerate(shown))
    label = f"{caption}: " + "; ".join(_words(curve, unit) for curve in shown)
    return figure(caption, _frame(
        bands + lines, label, [unit(limit), unit((limit + bottom) / 2), unit(bottom)],
        [across(start), across((start + end) / 2), across(end)], small,
    ) + _key([(curve.name, _words(curve, unit, named=False)) for curve in shown]))  # fmt: skip


def _round_up(value: float) -> float:
    """The next 1, 1.5, 2, 3, 5 or 7 with zeros: a round end of an axis."""
    if value <= 0:
        return 1.0
    size = 10 ** np.floor(np.log10(value))
    return float(size * next(step for step in (1, 1.5, 2, 3, 5, 7, 10) if step * size >= value * 0.999))


def _words(curve: Curve, unit: Callable[[float], str], *, named: bool = True) -> str:
    low = curve.mean if curve.low is None else curve.low
    high = curve.mean if curve.high is None else curve.high
    said = f"{unit(float(np.nanmin(low)))} to {unit(float(np.nanmax(high)))}"
    said += f", mean {unit(float(np.nanmean(curve.mean)))}"
    return f"{curve.name} {said}" if named else said


def histogram(
    caption: str,
    edges: Floats,
    counts: npt.NDArray[np.int64],
    *,
    unit: Callable[[float], str],
    number: int = 0,
) -> str:
    """Counts in bins whose limits may be spaced in any way: each is drawn equally wide."""
    filled = np.flatnonzero(counts)
    if not len(filled):
        return ""
    first, last = max(0, filled[0] - 1), min(len(counts), filled[-1] + 2)
    shown = counts[first:last]
    bars = "".join(
        f'<rect x="{1000 * place / len(shown):.1f}" y="{1000 - 1000 * count / shown.max():.1f}" '
        f'width="{1000 / len(shown):.1f}" height="{1000 * count / shown.max():.1f}" fill="var(--s{number})"/>'
        for place, count in enumerate(shown.tolist())
        if count
    )
    middle = (first + last) // 2
    ends = [unit(float(edges[first])), unit(float(edges[middle])), unit(float(edges[last]))]
    most = int(shown.max())
    label = f"{caption}: {int(shown.sum())} values between {ends[0]} and {ends[2]}"
    return figure(caption, _frame(bars, label, [str(most), str(most // 2), "0"], ends, small=True))


def boxes(caption: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Quartiles as a box, whiskers as a line, the 95th percentile as a mark; percent from 0 to 100."""
    drawn = []
    for name, box in rows.items():
        if not box:
            continue
        low, high = box["lower"], box["upper"]
        width = max(box["p75"] - box["p25"], 0.6)
        label = (
            f"{name}: lower quartile {box['p25']:.0f} %, median {box['p50']:.0f} %, upper quartile "
            f"{box['p75']:.0f} %, 95th percentile {box['p95']:.0f} %, highest {box['max']:.0f} %"
        )
        drawn.append(
            f'<span>{text(name)}</span><svg viewBox="0 0 100 20" preserveAspectRatio="none" role="img" '
            f'aria-label="{text(label)}">{_stroke(low, 10, high, 10, "ink", 1)}'
            f'<rect x="{box["p25"]:.1f}" y="4" width="{width:.1f}" height="12" fill="var(--s0)"/>'
            f"{_stroke(box['p50'], 3, box['p50'], 17, 'paper', 2)}"
            f"{_stroke(box['p95'], 2, box['p95'], 18, 's1', 2)}</svg>"
        )
    if not drawn:
        return ""
    axis = '<div class="x axis"><span>0 %</span><span>50 %</span><span>100 %</span></div>'
    note = "box: middle half of the samples; line in it: median; orange mark: 95th percentile"
    return figure(f"{caption} ({note})", f'<div class="rows">{"".join(drawn)}{axis}</div>')


def _stroke(x1: float, y1: float, x2: float, y2: float, colour: str, width: int) -> str:
    return (f'<line x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}" stroke="var(--{colour})" '
            f'stroke-width="{width}"/>')  # fmt: skip


def parts(caption: str, shares: Mapping[str, float], unit: Callable[[float], str] = seconds) -> str:
    """One bar cut into parts by their values, with a key; what is under a thousandth is left out."""
    total = sum(shares.values())
    kept = [(name, value) for name, value in shares.items() if total and value / total >= 1e-3]
    if not kept:
        return ""
    spans = "".join(
        f'<span style="flex:{value / total:.5f} 1 0;background:var(--s{number % _COLOURS})"></span>'
        for number, (_, value) in enumerate(kept)
    )
    label = f"{caption}: " + ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in kept)
    bar = f'<div class="bar" role="img" aria-label="{text(label)}">{spans}</div>'
    return figure(caption, bar + _key([(name, f"{100 * value / total:.0f} %, {unit(value)}")
                                       for name, value in kept]))  # fmt: skip


def heat(caption: str, time: Floats, rows: Mapping[str, Floats]) -> str:
    """One line for each channel, darker the higher its percentage."""
    if not rows or not len(time):
        return ""
    step, height = 1000 / len(time), 1000 / len(rows)
    cells = []
    for line, values in enumerate(rows.values()):
        for place, value in enumerate(np.nan_to_num(values).tolist()):
            if value >= 5:
                cells.append(
                    f'<rect x="{place * step:.1f}" y="{line * height:.1f}" width="{step + 0.5:.1f}" '
                    f'height="{height:.1f}" fill="var(--s0)" fill-opacity="{min(value, 100) / 100:.2f}"/>'
                )
    names = list(rows)
    means = ", ".join(f"{name} {np.nanmean(values):.0f} %" for name, values in list(rows.items())[:64])
    ends = [seconds(float(time[0])), seconds(float(time[len(time) // 2])), seconds(float(time[-1]))]
    ends_up = [names[0], names[-1]] if len(names) > 1 else names
    label = f"{caption}: mean {means}"
    frame = _frame("".join(cells), label, ends_up, ends, small=len(names) < 16)
    return figure(f"{caption} (darker: busier)", frame)


@dataclass(frozen=True)
class _Place:
    start: float
    end: float
    bottom: float
    top: float

    def points(self, time: Floats, values: Floats) -> list[str]:
        x = 1000 * (time - self.start) / (self.end - self.start)
        y = 1000 - 1000 * (np.clip(values, self.bottom, self.top) - self.bottom) / (self.top - self.bottom)
        return [f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]


def _line(curve: Curve, place: _Place, number: int) -> str:
    dash = ("", "6 3", "2 3", "8 3 2 3")[number % 4]  # told apart without colours
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    colour = f"var(--s{number % _COLOURS})"
    drawn = []
    for part in _unbroken(curve.time, np.isfinite(curve.mean)):
        points = " ".join(place.points(curve.time[part], curve.mean[part]))
        style = f'stroke-width="2"{dashed}'
        if len(part) == 1:  # a line of no length, whose round ends make a dot
            points, style = f"{points} {points}", 'stroke-width="8" stroke-linecap="round"'
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{colour}" {style}/>')
    return "".join(drawn)


def _band(curve: Curve, place: _Place, number: int) -> str:
    if curve.low is None or curve.high is None:
        return ""
    drawn = []
    for part in _unbroken(curve.time, np.isfinite(curve.low) & np.isfinite(curve.high)):
        up = place.points(curve.time[part], curve.high[part])
        down = place.points(curve.time[part], curve.low[part])[::-1]
        colour = f"var(--s{number % _COLOURS})"
        drawn.append(f'<polygon points="{" ".join(up + down)}" fill="{colour}" fill-opacity=".18"/>')
    return "".join(drawn)


def _unbroken(time: Floats, there: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Places of the points that belong together: no line through a time in which nothing was measured."""
    places = np.flatnonzero(there)
    apart = np.diff(time[places])
    usual = float(np.median(apart)) if len(apart) else 0.0
    if len(apart) < _GAP:  # too few to tell what is usual
        return [places] if len(places) else []
    return np.split(places, np.flatnonzero(apart > _GAP * usual) + 1)


def _frame(content: str, label: str, up: Sequence[str], across: Sequence[str], small: bool = False) -> str:
    y = "".join(f"<span>{text(each)}</span>" for each in up)
    x = "".join(f"<span>{text(each)}</span>" for each in across)
    grid = '<line class="grid" x1="0" x2="1000" y1="500" y2="500"/>'
    return (
        f'<div class="plot{" low" if small else ""}"><div class="y axis">{y}</div>'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="{text(label)}">'
        f'{grid}{content}</svg><div class="x axis">{x}</div></div>'
    )


def _key(entries: Sequence[tuple[str, str]]) -> str:
    items = "".join(
        f'<li><i style="background:var(--s{number % _COLOURS})"></i>{text(name)} <b>{text(said)}</b></li>'
        for number, (name, said) in enumerate(entries)
    )
    return f'<ul class="key">{items}</ul>'


def _thinned(curve: Curve) -> Curve:
    """At most `_POINTS` points; the lowest and the highest of those that become one are kept."""
    step = -(-len(curve.time) // _POINTS)
    if step <= 1:
        return curve
    low = curve.mean if curve.low is None else curve.low
    high = curve.mean if curve.high is None else curve.high
    starts = np.arange(0, len(curve.time), step)
    sums = np.add.reduceat(np.nan_to_num(curve.mean), starts)
    there = np.add.reduceat(np.isfinite(curve.mean).astype(float), starts)
    mean: Floats = np.divide(sums, there, out=np.full(len(starts), np.nan), where=there > 0)
    return Curve(curve.name, curve.time[starts], mean,
                 np.fmin.reduceat(low, starts), np.fmax.reduceat(high, starts))  # fmt: skip
