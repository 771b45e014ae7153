"""Curves as text of few bytes: numbers keep every digit, and what is equal is kept once."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence


class Pool:
    """Number series by index; the page decodes them when it draws them.

    A series is ``r<start>,<step>,<count>`` where it counts up evenly in whole numbers (epochs mostly
    do), else the base64 of little-endian float32 (``f...``) where these hold every value exactly (a
    metric that torch computed), else of float64 (``d...``).
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.size = 0  # characters
        self._known: dict[str, int] = {}

    def add(self, values: Sequence[float]) -> int:
        """The index of a series."""
        text = encode(values)
        index = self._known.get(text)
        if index is None:
            index = self._known[text] = len(self.texts)
            self.texts.append(text)
            self.size += len(text)
        return index


def encode(values: Sequence[float]) -> str:
    """One series as `Pool` describes it."""
    if len(values) > 1 and (even := _evenly(values)):
        return even
    try:
        single = array("f", values)
        exact = all(
            one == other or (one != one and other != other) for one, other in zip(single, values, strict=True)
        )
    except OverflowError:
        exact = False
    found = single if exact else array("d", values)
    if sys.byteorder == "big":
        found.byteswap()
    return ("f" if exact else "d") + base64.b64encode(found.tobytes()).decode()


def _evenly(values: Sequence[float]) -> str | None:
    start, step = values[0], values[1] - values[0]
    if start != start or not float(start).is_integer() or not float(step).is_integer():
        return None
    if any(value != start + step * index for index, value in enumerate(values)):
        return None
    return f"r{int(start)},{int(step)},{len(values)}"
