"""What rules see of a run: plain numbers, in the order in which they were taken.

Every class is one kind of record in ``debugger/observations.jsonl.gz``. Columns are float64 [n], one
number for each name in `Names`, NaN where there is none; numbers are kept to six digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = NDArray[np.float64]

FORMAT = 1
INACTIVITY = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Percent: for each, the share of a layer's units that are active less often is kept."""


@dataclass(frozen=True)
class Names:
    """What the columns of the steps that follow stand for.

    Attributes:
        parameters: names of everything that trains, below the module.
        shapes: of the parameters.
        activations: names of the watched activation modules.
        types: ``relu``, ``silu``, ``sigmoid`` or ``tanh`` for each of them.
        classes: number of classes, where it is known.
        fresh: the weights were initialised, not loaded.
        settings: what the numbers were taken with; rules cannot change it afterwards.
        class_names: of the classes, where they are known.
        optimizers: how many step.
        own: ``model``, ``data``: these are the user's own classes, which do not have our config keys.
    """

    parameters: list[str]
    shapes: list[list[int]]
    activations: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    classes: int | None = None
    fresh: bool = True
    settings: dict[str, float] = field(default_factory=dict)
    class_names: list[str] = field(default_factory=list)
    optimizers: int = 1
    own: list[str] = field(default_factory=list)

    def shown(self, label: int) -> str:
        """A class with its name, where that says more than its number."""
        name = self.class_names[label] if label < len(self.class_names) else ""
        return f"{label} ({name})" if name not in ("", str(label)) else str(label)

    @property
    def matrices(self) -> NDArray[np.bool_]:
        """Which parameters have two dimensions or more: weights, and neither biases nor norms."""
        return np.array([len(shape) > 1 for shape in self.shapes], dtype=bool)


_NAMELESS = Names([], [])


@dataclass(frozen=True)
class Step:
    """One sampled optimizer step.

    Attributes:
        step: optimizer steps done before it, from 0.
        epoch: from 0.
        seconds: running time of the run.
        gap_s: the longest time without a sign of life since the last record, seconds.
        lr: the learning rate, of the first parameter group.
        peak_lr: what its schedule comes to or began with: the one that people set.
        losses: of every batch since the last record.
        skipped: the gradient scaler did not let the optimizer step (fp16).
        columns: ``grad_mean`` (mean absolute), ``grad_l2``, ``grad_max`` (absolute), ``grad_nonzero``
            (share), and in the first steps ``grad_p5`` and ``grad_p95``: after unscaling and all-reduce
            and before clipping; ``weight_mean`` (mean absolute), ``weight_var``, ``update_mean`` (mean
            absolute change by this step), ``update_max``; for activations ``input_var`` in the first
            steps, ``output_mean`` (mean absolute) and ``output_seen`` (1 where it ran with a gradient).
        inactive: for each activation the share of units that are active in less than each of
            `INACTIVITY` percent of the images, collected over at least 128 images; else None.
        names: what the columns stand for.
    """

    step: int
    epoch: int
    seconds: float
    gap_s: float
    lr: float
    peak_lr: float
    losses: list[float]
    skipped: bool
    columns: dict[str, Column]
    inactive: dict[int, list[float]] | None
    names: Names

    @property
    def loss(self) -> float:
        """Of this step's own batch; NaN where the module gave none."""
        return self.losses[-1] if self.losses else math.nan

    def column(self, name: str) -> Column:
        """A column, all NaN where it was not taken."""
        of_activations = name.startswith(("input_", "output_"))
        count = len(self.names.activations if of_activations else self.names.parameters)
        return self.columns.get(name, np.full(count, np.nan))


@dataclass(frozen=True)
class Evaluation:
    """One validation.

    Attributes:
        step: optimizer steps done.
        epoch: from 0.
        loss: mean validation loss; None where none was found.
        train_loss: mean over the second half of what was trained on since the last validation, without
            label smoothing where that could be taken out, so that the two can be compared.
        support: images of each class; None where no predictions were found.
        predicted: how often each class was predicted.
        correct: images of each class that were recognised.
        confused: (class, predicted class, count) of confusions, at most 1,000: those with the largest share
            of the class's images or of what was predicted as the other.
        names: the classes have theirs there.
    """

    step: int
    epoch: int
    loss: float | None
    train_loss: float | None
    support: list[int] | None = None
    predicted: list[int] | None = None
    correct: list[int] | None = None
    confused: list[tuple[int, int, int]] | None = None
    names: Names = _NAMELESS


@dataclass(frozen=True)
class Images:
    """The first training images as the network gets them: for each channel over all of them."""

    step: int
    epoch: int
    count: int
    mean: list[float]
    std: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Labels:
    """Training images of each class; ``whole`` where they are all of the training split."""

    step: int
    epoch: int
    counts: list[int]
    whole: bool
    names: Names = _NAMELESS


@dataclass(frozen=True)
class Stall:
    """Nothing happened for ``gap_s`` seconds, and still does not."""

    step: int
    epoch: int
    gap_s: float


@dataclass(frozen=True)
class End:
    """The training is over; ``stopped``: a rule ended it before its time."""

    step: int
    epoch: int
    stopped: bool = False


Observation: TypeAlias = Step | Evaluation | Images | Labels | Stall | End
_KINDS: dict[str, type[Any]] = {
    "evaluation": Evaluation, "images": Images, "labels": Labels, "stall": Stall, "end": End,
}  # fmt: skip
_PLAIN = {kind: name for name, kind in _KINDS.items()}


def step_record(
    columns: Mapping[str, Iterable[float]],
    losses: Iterable[float],
    inactive: Mapping[int, list[float]] | None,
    **fields: Any,
) -> dict[str, Any]:
    """A step as it is stored; what rules are shown is made of this, so that asking again gives the same."""
    return {
        "kind": "step",
        **{name: _digits(value) if isinstance(value, float) else value for name, value in fields.items()},
        "losses": [_digits(value) for value in losses],
        "columns": {name: [_digits(value) for value in column] for name, column in columns.items()},
        "inactive": None if inactive is None else {str(key): value for key, value in inactive.items()},
    }


def record(observation: Names | Observation) -> dict[str, Any]:
    """Any other observation as it is stored."""
    if isinstance(observation, Names):
        return {"kind": "names", "format": FORMAT, **asdict(observation)}
    stored = {"kind": _PLAIN[type(observation)], **vars(observation)}
    stored.pop("names", None)  # they have a record of their own
    return stored


class Reader:
    """Makes observations of records, in the order in which they were stored."""

    def __init__(self) -> None:
        self.names = Names([], [])

    def read(self, stored: Mapping[str, Any]) -> Observation | None:
        """The observation of one record; None for one that only says what follows.

        Raises:
            ValueError: not a record of this format.
        """
        fields = dict(stored)
        kind = fields.pop("kind", None)
        try:
            if kind == "names":
                if fields.pop("format") != FORMAT:
                    raise ValueError("observations of another version")
                self.names = Names(**fields)
                return None
            if kind == "step":
                columns = {
                    name: np.array(column, dtype=np.float64) for name, column in fields["columns"].items()
                }
                inactive = fields["inactive"]
                if inactive is not None:
                    inactive = {int(key): list(value) for key, value in inactive.items()}
                return Step(**{**fields, "columns": columns, "inactive": inactive, "names": self.names})
            if kind in ("evaluation", "labels"):
                fields["names"] = self.names
            observation: Observation = _KINDS[str(kind)](**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not an observation: {error}") from error
        return observation

    def read_all(self, stored: Iterable[Mapping[str, Any]]) -> Iterator[Observation]:
        """Every observation of ``stored``.

        Raises:
            ValueError: not a record of this format.
        """
        for one in stored:
            observation = self.read(one)
            if observation is not None:
                yield observation


def _digits(value: float) -> float:
    return float(f"{value:.6g}")
