"""Rules on gradients: vanished, exploded, all zero."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sweepmaker.config.rules import BOOLEAN, NOTHING, either, integer, number, one_of, several
from sweepmaker.debugger.observations import Evaluation, Step
from sweepmaker.debugger.rules.base import Finding, Rule, Streak, first_of, layer

_SKIPS_ALLOWED = 10  # samples in a row: a gradient scaler that only ever skips has a broken network


@dataclass
class VanishingGradient(Rule):
    """Gradients have become so small that layers no longer learn.

    Condition: the mean absolute gradient of a parameter is below ``threshold``; with ``relative`` also
    below that share of the largest one in the network; at ``patience`` sampled steps in a row. With
    ``matrices_only`` biases and norms are not asked.
    What to do: normalise inside the network (BatchNorm, LayerNorm), use ReLU-like activations instead of
    sigmoid and tanh, add residual connections, initialise for the activation, or train fewer layers.
    Differs from AWS: ``relative``, ``patience`` and ``matrices_only`` are ours: a bias before BatchNorm has
    no gradient and needs none. A small gradient everywhere is what a network that has learned its data has;
    a layer that gets far less than others is what does not learn. AWS asks for the absolute value only, at
    any saved step. Parameters without a gradient are left out.
    Example: an 8-layer sigmoid network, first layer: 3e-10 < 1e-07.
    """

    threshold: float = 1e-7
    relative: float | None = None
    patience: int = 1
    matrices_only: bool = False

    LIMITS: ClassVar = {
        "threshold": number(above=0),
        "relative": either(number(above=0, most=1), NOTHING),
        "patience": integer(1),
        "matrices_only": BOOLEAN,
    }

    def __post_init__(self) -> None:
        self._streak = Streak()

    def on_step(self, step: Step) -> Iterable[Finding]:
        means = step.column("grad_mean")
        met = means < self.threshold
        if self.matrices_only:
            met &= step.names.matrices
        if self.relative is not None and np.isfinite(means).any():
            largest = np.nanmax(means)
            # nothing learns at all: then there is nothing to compare with
            met &= (means < self.relative * largest) | (largest == 0)
        found = self._streak.hold(met, self.patience, ~np.isnan(means))
        if not len(found):
            return
        smallest = first_of(found, means)
        yield Finding(
            step.step, step.epoch, layer(step.names.parameters[smallest]), float(means[smallest]),
            self.threshold,
            f"vanishing gradient: {len(found)} of {int(np.isfinite(means).sum())} parameters get next to "
            "none, so these layers do not learn",
            "normalisation layers or residual connections, ReLU-like activations, or pretrained weights",
            "model.weights=auto" if step.names.fresh else None,
        )  # fmt: skip


@dataclass
class ExplodingTensor(Rule):
    """A number is no longer finite.

    Condition: a loss (of training or validation), a gradient, a weight or an activation is NaN or infinite
    (``only_nan``: NaN only).
    What to do: a lower learning rate, a warm-up, gradient clipping; with fp16 bfloat16 or float32 instead;
    look for a logarithm or a division of zero in a loss of your own.
    Differs from AWS: ``collection_names`` chooses among losses, gradients, weights and activations instead
    of tensor names. Infinite gradients of a step that fp16's gradient scaler skipped do not count, unless
    it skips ten sampled steps in a row.
    Example: lr=100 with SGD, after 2 steps: the loss is nan.
    """

    collection_names: tuple[str, ...] | list[str] = ("losses", "gradients", "weights", "activations")
    only_nan: bool = False

    LIMITS: ClassVar = {
        "collection_names": several(one_of("losses", "gradients", "weights", "activations")),
        "only_nan": BOOLEAN,
    }
    _COLUMNS: ClassVar = {
        "gradients": ("grad_mean", "grad_max"),
        "weights": ("weight_mean",),
        "activations": ("output_mean",),
    }

    def __post_init__(self) -> None:
        self._skipped = 0
        self._lr = self._peak_lr = 0.0

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        loss = evaluation.loss
        if "losses" in self.collection_names and loss is not None and self._is_bad(loss):
            yield self._finding(evaluation, "valid/loss", loss)

    def on_step(self, step: Step) -> Iterable[Finding]:
        self._lr, self._peak_lr = step.lr, step.peak_lr
        self._skipped = self._skipped + 1 if step.skipped else 0
        for collection in self.collection_names:
            if collection == "losses":
                bad = [value for value in step.losses if self._is_bad(value)]
                if bad:
                    yield self._finding(step, "loss", bad[0])
            elif not (collection == "gradients" and 0 < self._skipped < _SKIPS_ALLOWED):
                yield from self._of_columns(step, collection)

    def _of_columns(self, step: Step, collection: str) -> Iterable[Finding]:
        for name in self._COLUMNS[collection]:
            if name not in step.columns:
                continue
            values = step.columns[name]
            met = np.isinf(values) & (not self.only_nan)
            met |= np.isnan(values) & self._was_taken(step, name)
            if met.any():
                place = int(np.flatnonzero(met)[0])
                names = step.names.activations if name == "output_mean" else step.names.parameters
                where = names[place] if name == "output_mean" else layer(names[place])
                yield self._finding(step, f"{where} ({collection})", float(values[place]))
                return

    @staticmethod
    def _was_taken(step: Step, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        # NaN is also what stands where a parameter had no gradient: that one has no share of zeros either
        if name.startswith("grad_"):
            return ~np.isnan(step.column("grad_nonzero"))
        if name == "output_mean":
            return step.column("output_seen") > 0
        return np.ones(len(step.columns[name]), dtype=bool)

    def _is_bad(self, value: float) -> bool:
        return value != value or (not self.only_nan and abs(value) == float("inf"))

    def _finding(self, seen: Step | Evaluation, where: str, value: float) -> Finding:
        return Finding(
            seen.step, seen.epoch, where, value, float("inf"),
            "exploding: a value is no longer finite, and from here on the weights may be worthless",
            f"a lower learning rate (now {self._lr:.3g}) or gradient clipping",
            f"lr={self._peak_lr / 10:.2g}" if self._lr > 0 else "trainer.gradient_clip_val=1.0",
        )  # fmt: skip


@dataclass
class AllZero(Rule):
    """A tensor holds zeros only.

    Condition: at least ``threshold`` percent of a tensor are zero, at ``patience`` sampled steps in a row;
    of the collections ``gradients`` and ``weights``, and there of parameters with two dimensions or more.
    What to do: look at what the layer's output is multiplied with; dead activations below or above it;
    weights that were initialised with zeros.
    Differs from AWS: biases and norms are left out, which are zero by design at the start, and ``patience``
    is ours: a residual block that begins with a zero-initialised norm has zero gradients in the very first
    step. For weights, only ``threshold`` 100 is told from less: the share of zeros is kept for gradients.
    Example: a layer behind a ReLU that never fires: 100 % of its gradient.
    """

    collection_names: tuple[str, ...] | list[str] = ("gradients", "weights")
    threshold: float = 100.0
    patience: int = 1

    LIMITS: ClassVar = {
        "collection_names": several(one_of("gradients", "weights")),
        "threshold": number(above=0, most=100),
        "patience": integer(1),
    }

    def __post_init__(self) -> None:
        self._streaks = {"gradients": Streak(), "weights": Streak()}

    def on_step(self, step: Step) -> Iterable[Finding]:
        shares = {
            "gradients": 100 * (1 - step.column("grad_nonzero")),
            "weights": np.where(step.column("weight_mean") == 0, 100.0, 0.0),
        }
        for collection in self.collection_names:
            zero = shares[collection]
            met = step.names.matrices & (zero >= self.threshold)
            found = self._streaks[collection].hold(met, self.patience, ~np.isnan(zero))
            if len(found):
                place = first_of(found, zero, largest=True)
                yield Finding(
                    step.step, step.epoch, layer(step.names.parameters[place]), float(zero[place]),
                    self.threshold,
                    f"all zero: {collection} of {len(found)} layers are zeros, so nothing is learned there",
                    "look for dead activations around it, or weights initialised with zeros",
                )  # fmt: skip
