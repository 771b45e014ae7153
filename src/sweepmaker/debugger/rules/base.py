"""What a rule is: it is shown observations one by one, and says what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sweepmaker.config import rules as check
from sweepmaker.debugger.observations import (
    Column,
    End,
    Evaluation,
    Images,
    Labels,
    Observation,
    Stall,
    Step,
)


@dataclass(frozen=True)
class Finding:
    """One time that a rule's condition was met.

    Attributes:
        step: optimizer steps done.
        epoch: from 0.
        where: the layer, parameter, class or loss.
        value: what was measured.
        threshold: what it was held against.
        meaning: what it means for this run.
        advice: what to change.
        override: the same as a Hydra override, where one does it.
    """

    step: int
    epoch: int
    where: str
    value: float
    threshold: float
    meaning: str
    advice: str
    override: str | None = None


@dataclass
class Rule:
    """Base of every rule; a rule of your own overrides what it wants to see.

    A rule's parameters are its dataclass fields. What it remembers belongs into ``__post_init__``, and has to
    follow from the observations alone: a resumed run shows them all again, from the file.
    """

    LIMITS: ClassVar[Mapping[str, check.Rule]] = {}
    """For each parameter what is allowed."""
    RECORDED: ClassVar[tuple[str, ...]] = ()
    """Parameters that the observations were taken with: a finished run cannot be asked with others."""

    def recorded(self) -> dict[str, float]:
        """What `cannot_answer` has to know of the rule that a run was observed with."""
        return {name: float(self.parameters[name]) for name in self.RECORDED}

    def cannot_answer(self, recorded: Mapping[str, float]) -> list[tuple[str, object, object]]:
        """(parameter, its value then, its value now) where observations taken with the former cannot tell.

        Args:
            recorded: from the rule that the run had; a name is missing in runs of an older version.
        """
        return [
            (name, recorded[name], self.parameters[name])
            for name in self.RECORDED
            if name in recorded and recorded[name] != self.parameters[name]
        ]

    def observe(self, observation: Observation) -> Iterable[Finding]:
        """What is found in one observation; any exception ends this rule alone, as ``Error``."""
        match observation:
            case Step():
                return self.on_step(observation)
            case Evaluation():
                return self.on_evaluation(observation)
            case Images():
                return self.on_images(observation)
            case Labels():
                return self.on_labels(observation)
            case Stall():
                return self.on_stall(observation)
            case End():
                return self.on_end(observation)

    def on_step(self, step: Step) -> Iterable[Finding]:
        """A sampled optimizer step."""
        return ()

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        """A validation has ended."""
        return ()

    def on_images(self, images: Images) -> Iterable[Finding]:
        """Enough training images were seen."""
        return ()

    def on_labels(self, labels: Labels) -> Iterable[Finding]:
        """The labels of the training images are known."""
        return ()

    def on_stall(self, stall: Stall) -> Iterable[Finding]:
        """Nothing has happened for a while."""
        return ()

    def on_end(self, end: End) -> Iterable[Finding]:
        """The training is over."""
        return ()

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and values of the rule's parameters."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Streak:
    """Counts for each column entry how many samples in a row met a condition."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def hold(
        self, met: NDArray[np.bool_], patience: int, known: NDArray[np.bool_] | None = None
    ) -> NDArray[np.int64]:
        """Positions that have met it ``patience`` times in a row or more.

        Args:
            met: whether this sample meets the condition.
            patience: samples in a row.
            known: where this sample says anything at all; elsewhere the count stays what it is.
        """
        if self._counts.shape != met.shape:  # other parameters train from here on
            self._counts = np.zeros(met.shape, dtype=np.int64)
        counts = np.where(met, self._counts + 1, 0)
        self._counts = counts if known is None else np.where(known, counts, self._counts)
        return np.flatnonzero(met & (self._counts >= patience))


class Schedule:
    """Tells steps at a usual learning rate from those of a warm-up's start or a schedule's end."""

    _SHARE = 1e-3

    def __init__(self) -> None:
        self._highest = 0.0

    def trains(self, step: Step) -> bool:
        """Whether the learning rate is at least a thousandth of the highest so far."""
        self._highest = max(self._highest, step.lr)
        return step.lr > 0 and step.lr >= self._SHARE * self._highest


def layer(parameter: str) -> str:
    """The layer that a parameter belongs to."""
    return parameter.rpartition(".")[0] or parameter


def first_of(positions: NDArray[np.int64], column: Column, *, largest: bool = False) -> int:
    """The position with the smallest value of ``column``, or the largest."""
    values = column[positions]
    return int(positions[int(np.nanargmax(values) if largest else np.nanargmin(values))])
