"""The rules, by SageMaker Debugger's names; none of them needs torch."""

from __future__ import annotations

from sweepmaker.debugger.rules.activations import DeadRelu, PoorWeightInitialization, SaturatedActivation
from sweepmaker.debugger.rules.base import Finding, Rule
from sweepmaker.debugger.rules.data import CheckInputImages, ClassImbalance, Confusion, StalledTraining
from sweepmaker.debugger.rules.gradients import AllZero, ExplodingTensor, VanishingGradient
from sweepmaker.debugger.rules.losses import LossNotDecreasing, Overfit, Overtraining
from sweepmaker.debugger.rules.runs import SimilarAcrossRuns
from sweepmaker.debugger.rules.weights import TensorVariance, UnchangedTensor, WeightUpdateRatio

__all__ = ["BUILT_IN", "Finding", "Rule"]

BUILT_IN: dict[str, type[Rule]] = {
    rule.__name__: rule
    for rule in (
        VanishingGradient, ExplodingTensor, LossNotDecreasing, Overfit, Overtraining, WeightUpdateRatio,
        AllZero, UnchangedTensor, TensorVariance, PoorWeightInitialization, SaturatedActivation, DeadRelu,
        ClassImbalance, Confusion, CheckInputImages, SimilarAcrossRuns, StalledTraining,
    )
}  # fmt: skip
