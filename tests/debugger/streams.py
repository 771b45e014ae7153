"""Observations made by hand, for rules without a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sweepmaker.debugger.observations import Evaluation, Names, Observation, Step
from sweepmaker.debugger.rules import Finding, Rule

NAMES = Names(["a.weight", "a.bias", "b.weight"], [[2, 2], [2], [2, 2]], ["act"], ["relu"], classes=10)


def step(
    number: int, *, losses: Iterable[float] = (), names: Names = NAMES, lr: float = 0.1,
    skipped: bool = False, inactive: Mapping[int, list[float]] | None = None, **columns: Sequence[float],
) -> Step:  # fmt: skip
    arrays = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    shown = None if inactive is None else dict(inactive)
    return Step(number, 0, 0.0, 0.0, lr, lr, list(losses), skipped, arrays, shown, names)


def evaluation(loss: float | None, train: float | None, number: int = 0, matrix: Any = None) -> Evaluation:
    if matrix is None:
        return Evaluation(number, number, loss, train)
    matrix = np.array(matrix)
    off = [
        (row, column, int(matrix[row, column]))
        for row in range(len(matrix))
        for column in range(len(matrix))
        if row != column and matrix[row, column]
    ]
    return Evaluation(
        number,
        number,
        loss,
        train,
        matrix.sum(1).tolist(),
        matrix.sum(0).tolist(),
        matrix.diagonal().tolist(),
        off,
    )


def found(rule: Rule, stream: Iterable[Observation]) -> list[Finding]:
    return [finding for observation in stream for finding in rule.observe(observation)]


def fired_at(rule: Rule, stream: Iterable[Observation]) -> list[int]:
    """Steps at which the rule fired."""
    return [finding.step for finding in found(rule, stream)]


NAN = math.nan
