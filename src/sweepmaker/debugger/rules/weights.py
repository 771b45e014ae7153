"""Rules on weights and on what a step changes about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sweepmaker.config.rules import NOTHING, either, integer, number, one_of, several
from sweepmaker.debugger.observations import Step
from sweepmaker.debugger.rules.base import Finding, Rule, Schedule, Streak, first_of, layer


@dataclass
class WeightUpdateRatio(Rule):
    """A step changes weights far too much, or not at all.

    Condition: mean absolute change of a weight tensor by one optimizer step, divided by its mean absolute
    value plus ``epsilon``, is above ``large_threshold`` or below ``small_threshold``, at ``patience``
    sampled steps in a row. A healthy step changes about a thousandth.
    What to do: too large: a lower learning rate, a warm-up; too small: a higher one.
    Differs from AWS: the formula of AWS is not public. Only parameters with two dimensions or more count,
    whose zero-initialised neighbours would have ratios without meaning. A weight that a step leaves exactly
    as it is, while others move, is UnchangedTensor's. AWS compares two saved steps,
    ``num_steps`` apart (500 by default: any training looks too fast then); here it is always one step, and
    ``num_steps`` does not exist. Steps at less than a thousandth of the highest learning rate are not held
    against ``small_threshold``.
    Example: lr=0.1 with AdamW: 0.9 > 0.1.
    """

    large_threshold: float = 10.0
    small_threshold: float = 1e-8
    epsilon: float = 1e-9
    patience: int = 1

    LIMITS: ClassVar = {
        "large_threshold": number(above=0),
        "small_threshold": number(least=0),
        "epsilon": number(above=0),
        "patience": integer(1),
    }

    def __post_init__(self) -> None:
        self._large, self._small, self._schedule = Streak(), Streak(), Schedule()

    def on_step(self, step: Step) -> Iterable[Finding]:
        before = step.column("weight_mean")
        ratio = step.column("update_mean") / (before + self.epsilon)
        known = ~np.isnan(step.column("grad_mean")) & ~np.isnan(ratio)
        counts = step.names.matrices & (before > 0) & known & (not step.skipped)
        large = self._large.hold(counts & (ratio > self.large_threshold), self.patience, known)
        trains = self._schedule.trains(step)
        tiny = counts & (ratio < self.small_threshold) & trains
        if (ratio[counts] > 0).any():
            tiny &= ratio > 0  # no learning rate moves what the optimizer does not have
        small = self._small.hold(tiny, self.patience, known)
        for found, threshold, much in (
            (large, self.large_threshold, True),
            (small, self.small_threshold, False),
        ):
            if not len(found):
                continue
            place = first_of(found, ratio, largest=much)
            factor = 0.1 if much else 10
            yield Finding(
                step.step, step.epoch, layer(step.names.parameters[place]), float(ratio[place]), threshold,
                "update ratio: one step changes weights by more than they are" if much
                else "update ratio: a step changes next to nothing",
                f"a {'lower' if much else 'higher'} learning rate (now {step.lr:.3g})",
                f"lr={step.peak_lr * factor:.2g}",
            )  # fmt: skip


@dataclass
class UnchangedTensor(Rule):
    """Weights that should train do not change, or the loss does not.

    Condition: over ``num_steps`` sampled steps in a row a parameter that requires a gradient is not changed
    at all by the optimizer; or their losses all equal the newest within ``rtol`` and ``atol``
    (``numpy.allclose``).
    What to do: give the parameter to the optimizer, let its output take part in the loss, or freeze it
    openly (``requires_grad_(False)``).
    Differs from AWS: it is the losses of all batches since the sample before, since in bfloat16 three of many
    are equal by chance. Biases are left out, since rounding can keep one before BatchNorm where it is. For
    weights the change of each sampled step is looked at instead of stored tensors. Steps at less than a
    thousandth of the highest learning rate do not count. ``equal_nan`` is always false: NaN is
    ExplodingTensor's. AWS takes losses, or what a regular expression names.
    Example: a layer that was left out of the optimizer: changed by 0 in 3 sampled steps.
    """

    collection_names: tuple[str, ...] | list[str] = ("losses", "weights")
    num_steps: int = 3
    rtol: float = 1e-5
    atol: float = 1e-8

    LIMITS: ClassVar = {
        "collection_names": several(one_of("losses", "weights")),
        "num_steps": integer(2),
        "rtol": number(least=0),
        "atol": number(least=0),
    }

    def __post_init__(self) -> None:
        self._streak, self._schedule = Streak(), Schedule()
        self._losses: list[list[float]] = []

    def on_step(self, step: Step) -> Iterable[Finding]:
        if "losses" in self.collection_names and step.losses:
            self._losses = [*self._losses, step.losses][-self.num_steps :]
            every = [loss for losses in self._losses for loss in losses]
            full = len(self._losses) == self.num_steps
            if full and np.allclose(every, step.loss, self.rtol, self.atol):
                yield self._finding(step, "loss", "the loss stays what it is")
        if "weights" in self.collection_names:
            trains = self._schedule.trains(step) and not step.skipped
            # nothing is decided by a step that could not change anything
            if not trains:
                return
            change = step.column("update_max")  # NaN: its optimizer did not step this time
            met = step.names.matrices & (change == 0)
            found = self._streak.hold(met, self.num_steps, ~np.isnan(change))
            if len(found):
                name = step.names.parameters[int(found[0])]
                yield self._finding(step, layer(name), f"{len(found)} weights should train and never change")

    def _finding(self, step: Step, where: str, what: str) -> Finding:
        of_loss = where == "loss"
        advice = "give it to the optimizer and to the loss, or freeze it with requires_grad_(False)"
        if of_loss:
            advice = "look at the images (python data.py), and whether the loss depends on the weights at all"
        threshold = self.rtol if of_loss else 0.0
        return Finding(step.step, step.epoch, where, 0.0, threshold, f"unchanged: {what}", advice)


@dataclass
class TensorVariance(Rule):
    """The variance of a weight tensor is out of bounds.

    Condition: variance above ``max_threshold`` or below ``min_threshold``, of parameters with two
    dimensions or more. A bound that is null is not asked.
    What to do: another initialisation; too large also: a lower learning rate, weight decay.
    Differs from AWS: weights only, and by default AWS has no bounds (its sample: 10 and 1e-5). Weights of
    zeros, as some heads begin with, are AllZero's where they stay zeros.
    Example: weights from a normal distribution of standard deviation 20: 400 > 100.
    """

    max_threshold: float | None = None
    min_threshold: float | None = None

    LIMITS: ClassVar = {
        "max_threshold": either(number(above=0), NOTHING),
        "min_threshold": either(number(least=0), NOTHING),
    }

    def on_step(self, step: Step) -> Iterable[Finding]:
        variance = step.column("weight_var")
        counts = step.names.matrices & (step.column("weight_mean") != 0)
        for bound, large in ((self.max_threshold, True), (self.min_threshold, False)):
            if bound is None:
                continue
            out = np.flatnonzero(counts & ((variance > bound) if large else (variance < bound)))
            if len(out):
                place = first_of(out, variance, largest=large)
                yield Finding(
                    step.step, step.epoch, layer(step.names.parameters[place]), float(variance[place]), bound,
                    f"variance: weights of {len(out)} layers are spread too {'far' if large else 'little'}",
                    "another initialisation" + (", a lower learning rate or weight decay" if large else ""),
                )  # fmt: skip
