"""Rules on activations, by the type of their module and never by a tensor's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sweepmaker.config.rules import NOTHING, either, integer, number, one_of
from sweepmaker.debugger.observations import INACTIVITY, Column, Step
from sweepmaker.debugger.rules.base import Finding, Rule

_EDGES = one_of(*INACTIVITY)


def _worst(step: Step, types: tuple[str, ...], threshold: float) -> tuple[int, int, float] | None:
    """(position, how many layers, percent) of the layer with most inactive units; None without any."""
    if step.inactive is None:
        return None
    edge = INACTIVITY.index(threshold)
    shares = {
        place: 100 * below[edge] for place, below in step.inactive.items() if step.names.types[place] in types
    }
    if not shares:
        return None
    place = max(shares, key=lambda position: shares[position])
    return place, len(shares), shares[place]


@dataclass
class SaturatedActivation(Rule):
    """Sigmoids or tanhs are driven so far that they no longer have a slope, so nothing below them learns.

    Condition: a unit is active for an image (or a position in it) where the input of its activation lies
    within the thresholds for its type; it is saturated if that holds for less than ``threshold_inactivity``
    percent; the rule fires where more than ``threshold_layer`` percent of a layer's units are saturated.
    What to do: smaller initial weights, normalisation before the activation, a lower learning rate,
    ReLU-like activations.
    Differs from AWS: modules are matched by type (Sigmoid, Tanh), not by tensor names, which fit no modern
    network. A unit is a channel, for dense layers a neuron, and is judged over at least 128 images. AWS's
    thresholds are where float32 has no slope left at all (2e-8 for tanh, 1e-10 for sigmoid).
    Example: a sigmoid layer with weights 100 times too large: 93 % of its units.
    """

    threshold_tanh_min: float = -9.4999
    threshold_tanh_max: float = 9.4999
    threshold_sigmoid_min: float = -23.0
    threshold_sigmoid_max: float = 16.99999
    threshold_inactivity: float = 1.0
    threshold_layer: float = 50.0

    LIMITS: ClassVar = {
        "threshold_tanh_min": number(below=0),
        "threshold_tanh_max": number(above=0),
        "threshold_sigmoid_min": number(below=0),
        "threshold_sigmoid_max": number(above=0),
        "threshold_inactivity": _EDGES,
        "threshold_layer": number(above=0, most=100),
    }
    RECORDED: ClassVar = (
        "threshold_tanh_min", "threshold_tanh_max", "threshold_sigmoid_min", "threshold_sigmoid_max",
    )  # fmt: skip

    def on_step(self, step: Step) -> Iterable[Finding]:
        worst = _worst(step, ("sigmoid", "tanh"), self.threshold_inactivity)
        if worst is not None and worst[2] > self.threshold_layer:
            place, _, share = worst
            yield Finding(
                step.step, step.epoch, step.names.activations[place], share, self.threshold_layer,
                f"saturated: {share:.3g} % of the units of this {step.names.types[place]} have no slope left",
                "normalisation before it, smaller initial weights, a lower learning rate, another activation",
                f"lr={step.peak_lr / 10:.2g}" if step.lr > 0 else None,
            )  # fmt: skip


@dataclass
class DeadRelu(Rule):
    """Most of a layer's ReLUs never fire; for SiLU and GELU: give next to nothing.

    Condition: a unit is active for an image (or a position in it) where its output is above 0, for SiLU,
    GELU and Hardswish above 0.001 in size; it is dead if that holds for less than ``threshold_inactivity``
    percent; the rule fires where more than ``threshold_layer`` percent of a layer's units are dead.
    What to do: a lower learning rate, a warm-up, normalisation before the activation, biases that do not
    start below zero, LeakyReLU or SiLU.
    Differs from AWS: modules are matched by type, so that a network of SiLUs is watched too. AWS does not
    say what a unit is; here it is a channel, for dense layers a neuron, judged over at least 128 images.
    Example: biases of -10 before a ReLU: 100 % of its units.
    """

    threshold_inactivity: float = 1.0
    threshold_layer: float = 50.0

    LIMITS: ClassVar = {"threshold_inactivity": _EDGES, "threshold_layer": number(above=0, most=100)}

    def on_step(self, step: Step) -> Iterable[Finding]:
        worst = _worst(step, ("relu", "silu"), self.threshold_inactivity)
        if worst is not None and worst[2] > self.threshold_layer:
            place, _, share = worst
            kind = "ReLU" if step.names.types[place] == "relu" else "activation"
            yield Finding(
                step.step, step.epoch, step.names.activations[place], share, self.threshold_layer,
                f"dead units: {share:.3g} % of the units behind this {kind} never fire, and get no gradient",
                "a lower learning rate, normalisation before it, or LeakyReLU",
                f"lr={step.peak_lr / 10:.2g}" if step.lr > 0 else None,
            )  # fmt: skip


@dataclass
class PoorWeightInitialization(Rule):
    """The weights begin in a way that lets signals die out or blow up.

    Condition, in the first ``steps`` sampled steps only: the variance of activation inputs differs between
    layers by a factor of more than ``threshold``; or the 5th and 95th percentile of a weight's gradient lie
    closer together than ``distribution_range``; or the loss has not reached a new best for ``patience``
    sampled steps. One that is null is not asked.
    What to do: initialise for the activation (Kaiming for ReLU-like, Xavier for tanh), normalisation
    layers, pretrained weights.
    Differs from AWS: a network with loaded weights is not asked. Gradients of biases and norms are left
    out, and percentiles come from at most 10,000 values of each. AWS samples every 500 steps unless told
    otherwise, and so sees one step of the first ten. The sane preset asks for the first condition only: the
    range of a gradient follows from the scale of the loss, and ten batches say little of a loss; and it asks
    the first step only, since what comes later is as much the learning rate's doing.
    Example: weights from a normal distribution of standard deviation 1: a factor of 8e+06.
    """

    threshold: float = 10.0
    distribution_range: float | None = 0.001
    patience: int | None = 5
    steps: int = 10

    LIMITS: ClassVar = {
        "threshold": number(above=1),
        "distribution_range": either(number(above=0), NOTHING),
        "patience": either(integer(1), NOTHING),
        "steps": integer(1),
    }

    def __post_init__(self) -> None:
        self._seen = self._waited = 0
        self._best = float("inf")

    def recorded(self) -> dict[str, float]:
        return {"steps": float(self.steps), "percentiles": float(self.distribution_range is not None)}

    def cannot_answer(self, recorded: Mapping[str, float]) -> list[tuple[str, object, object]]:
        out: list[tuple[str, object, object]] = []
        if self.steps > recorded.get("steps", self.steps):
            out.append(("steps", int(recorded["steps"]), self.steps))
        if self.distribution_range is not None and not recorded.get("percentiles", 1.0):
            out.append(("distribution_range", None, self.distribution_range))
        return out

    def on_step(self, step: Step) -> Iterable[Finding]:
        self._seen += 1
        if self._seen > self.steps or not step.names.fresh:
            return
        yield from self._variances(step, step.column("input_var"))
        if self.distribution_range is not None:
            spread = step.column("grad_p95") - step.column("grad_p5")
            narrow = np.flatnonzero(step.names.matrices & (spread < self.distribution_range))
            if len(narrow):
                place = int(narrow[np.argmin(spread[narrow])])
                where, what = step.names.parameters[place], "gradients hardly differ from each other"
                yield self._finding(step, where, float(spread[place]), self.distribution_range, what)
        if self.patience is not None and step.losses:
            better = step.loss < self._best
            self._best, self._waited = (step.loss, 0) if better else (self._best, self._waited + 1)
            if self._waited >= self.patience:
                yield self._finding(
                    step, "loss", self._waited, self.patience, "the loss does not begin to fall"
                )

    def _variances(self, step: Step, variance: Column) -> Iterable[Finding]:
        known = np.flatnonzero(np.isfinite(variance) & (variance > 0))
        if len(known) < 2:
            return
        low, high = (int(known[pick(variance[known])]) for pick in (np.argmin, np.argmax))
        ratio = float(variance[high] / variance[low])
        if ratio > self.threshold:
            names = step.names.activations
            what = (
                f"the signal's variance is {variance[low]:.2g} at {names[low]} and {variance[high]:.2g} here"
            )
            yield self._finding(step, names[high], ratio, self.threshold, what)

    @staticmethod
    def _finding(step: Step, where: str, value: float, threshold: float, what: str) -> Finding:
        return Finding(
            step.step, step.epoch, where, float(value), float(threshold), f"poor initialisation: {what}",
            "initialise for the activation (Kaiming, Xavier), add normalisation, or take pretrained weights",
            "model.weights=auto" if step.names.fresh else None,
        )  # fmt: skip
