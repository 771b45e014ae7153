"""Rules on what comes in and what is said of it: images, labels, predictions, and a loader that hangs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from sweepmaker.config.rules import BOOLEAN, integer, number, one_of
from sweepmaker.debugger.observations import End, Evaluation, Images, Labels, Stall
from sweepmaker.debugger.rules.base import Finding, Rule

_CONSTANT = 1e-3  # a standard deviation of normalised images below this


def _classes(count: int) -> str:
    return "1 class is" if count == 1 else f"{count} classes are"


@dataclass
class ClassImbalance(Rule):
    """Some classes have far more images than others, or are never recognised.

    Condition: the largest class has more than ``threshold_imbalance`` times as many training images as the
    smallest that has any; or more than ``threshold_misprediction`` of a class's validation images (at least
    ``support`` of them) are taken for another class. With ``at_end`` the second is asked of the last
    validation only.
    What to do: more images of the rare classes, a class-weighted loss or sampler, and
    ``objective.name=valid/f1``, which counts every class alike.
    Differs from AWS: images of a class come from the whole training split where the data module has it, and
    else from the first ``samples`` labels that went through training; a sampler that balances classes would
    hide the rest. Mispredictions are those of the validation, where AWS takes whatever it was given.
    ``support`` and ``at_end`` are ours: in the first epochs every class is mistaken.
    Example: 200 images of one class, 4 of another: 50 > 10.
    """

    threshold_imbalance: float = 10.0
    threshold_misprediction: float = 0.7
    samples: int = 500
    support: int = 1
    at_end: bool = False

    LIMITS: ClassVar = {
        "threshold_imbalance": number(least=1),
        "threshold_misprediction": number(above=0, most=1),
        "samples": integer(1),
        "support": integer(1),
        "at_end": BOOLEAN,
    }
    RECORDED: ClassVar = ("samples",)

    def __post_init__(self) -> None:
        self._last: Evaluation | None = None

    def on_labels(self, labels: Labels) -> Iterable[Finding]:
        counts = np.array(labels.counts)
        there = np.flatnonzero(counts)
        if len(there) < 2:
            return
        few, many = int(there[np.argmin(counts[there])]), int(np.argmax(counts))
        ratio, shown = counts[many] / counts[few], labels.names.shown
        if ratio > self.threshold_imbalance:
            yield Finding(
                labels.step, labels.epoch, f"class {shown(few)}", float(ratio), self.threshold_imbalance,
                f"class imbalance: {counts[many]} images of class {shown(many)}, {counts[few]} of this one",
                "more images of the rare classes, or weight them in the loss; compare runs by macro F1",
                "objective.name=valid/f1 objective.mode=max",
            )  # fmt: skip

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        self._last = evaluation
        return () if self.at_end else self._mistaken(evaluation)

    def on_end(self, end: End) -> Iterable[Finding]:
        if self._last is None or not self.at_end or end.stopped:
            return ()  # a run that a rule ended had no time to learn
        return self._mistaken(self._last)

    def _mistaken(self, evaluation: Evaluation) -> Iterable[Finding]:
        if evaluation.support is None or evaluation.correct is None:
            return
        support = np.array(evaluation.support)
        share = 1 - np.array(evaluation.correct) / np.maximum(support, 1)
        bad = np.flatnonzero((support >= self.support) & (share > self.threshold_misprediction))
        if len(bad):
            worst = int(bad[np.argmax(share[bad])])
            yield Finding(
                evaluation.step, evaluation.epoch, f"class {evaluation.names.shown(worst)}",
                float(share[worst]), self.threshold_misprediction,
                f"class imbalance: {_classes(len(bad))} mostly taken for others",
                "more images of these classes, or look at their labels",
            )  # fmt: skip


@dataclass
class Confusion(Rule):
    """Validation images of one class are taken for another too often.

    Condition: of a class with at least ``support`` images less than ``min_diag`` are recognised, or more
    than ``max_off_diag`` are taken for one other class. Shares are of the class's own images (``normalise:
    true``) or of what was predicted as it (``pred``). With ``at_end`` only the last validation is asked.
    What to do: look at images of the two classes and their labels; a higher resolution; more images of
    them.
    Differs from AWS: the documented formula divides the diagonal by the sum of the whole diagonal, so that
    a perfect result of ten classes has 0.1 and fires; it is mended here by dividing by rows (or columns).
    ``support``, ``normalise`` and ``at_end`` are ours, and so are the sane thresholds: 0.9 of every class
    is an aim, not a fault.
    Example: 40 % of the images of class 4 are taken for class 7.
    """

    min_diag: float = 0.9
    max_off_diag: float = 0.1
    normalise: str = "true"
    support: int = 1
    at_end: bool = False

    LIMITS: ClassVar = {
        "min_diag": number(least=0, most=1),
        "max_off_diag": number(least=0, most=1),
        "normalise": one_of("true", "pred"),
        "support": integer(1),
        "at_end": BOOLEAN,
    }

    def __post_init__(self) -> None:
        self._last: Evaluation | None = None

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        self._last = evaluation
        return () if self.at_end else self._confused(evaluation)

    def on_end(self, end: End) -> Iterable[Finding]:
        if self._last is None or not self.at_end or end.stopped:
            return ()
        return self._confused(self._last)

    def _confused(self, evaluation: Evaluation) -> Iterable[Finding]:
        if evaluation.support is None or evaluation.correct is None or evaluation.predicted is None:
            return
        rows = self.normalise == "true"
        totals = np.array(evaluation.support if rows else evaluation.predicted)
        enough = (totals >= self.support) & (totals > 0)
        diagonal = np.array(evaluation.correct) / np.maximum(totals, 1)
        low = np.flatnonzero(enough & (diagonal < self.min_diag))
        if len(low):
            worst = int(low[np.argmin(diagonal[low])])
            yield self._finding(
                evaluation, f"class {evaluation.names.shown(worst)}", float(diagonal[worst]), self.min_diag,
                f"{_classes(len(low))} recognised too seldom",
            )  # fmt: skip
        shares = [
            (count / totals[label if rows else predicted], label, predicted)
            for label, predicted, count in evaluation.confused or []
            if enough[label if rows else predicted]
        ]
        if shares and max(shares)[0] > self.max_off_diag:
            share, label, predicted = max(shares)
            where = f"class {evaluation.names.shown(label)} as {evaluation.names.shown(predicted)}"
            yield self._finding(
                evaluation, where, float(share), self.max_off_diag, "one class is taken for another"
            )

    @staticmethod
    def _finding(evaluation: Evaluation, where: str, value: float, threshold: float, what: str) -> Finding:
        return Finding(
            evaluation.step, evaluation.epoch, where, value, threshold, f"confusion: {what}",
            "look at these classes' images and labels (confusion_test.png), or train at a higher resolution",
        )  # fmt: skip


@dataclass
class CheckInputImages(Rule):
    """Training images are not normalised as networks expect them.

    Condition, once ``threshold_samples`` images were seen: the mean of a channel differs from 0 by more
    than ``threshold_mean``; or, with ``range``, its standard deviation lies outside [0.25, 4] (below 0.001
    the images hold nothing), or no value at all is below 0.
    What to do: ``data.stats=data`` computes mean and standard deviation of the training images;
    ``imagenet`` fits pretrained weights.
    Differs from AWS: each channel is asked by itself and found by its axis, not by a tensor's name;
    ``range`` is ours. AWS's 0.2 is too strict for images of one kind under ImageNet's statistics. Cached
    features are no images, and are not asked.
    Example: pixels of 0 to 1: mean 0.31, and none below 0.
    """

    threshold_mean: float = 0.2
    threshold_samples: int = 500
    range: bool = False

    LIMITS: ClassVar = {"threshold_mean": number(above=0), "threshold_samples": integer(1), "range": BOOLEAN}
    RECORDED: ClassVar = ("threshold_samples",)

    def on_images(self, images: Images) -> Iterable[Finding]:
        mean, std = np.array(images.mean), np.array(images.std)
        channel = int(np.argmax(np.abs(mean)))
        what, value, threshold = "", 0.0, 0.0
        if self.range and np.isfinite(std).all() and std.max() < _CONSTANT:
            yield Finding(
                images.step, images.epoch, f"channel {int(np.argmax(std))}", float(std.max()), _CONSTANT,
                f"input images: they hold nothing, every value is about {mean[channel]:.3g}",
                "look at them, and at what is done to them before the network: python data.py",
            )  # fmt: skip
        elif not np.isfinite(mean).all() or abs(mean[channel]) > self.threshold_mean:
            what, value, threshold = "the mean is not near 0", float(mean[channel]), self.threshold_mean
        elif self.range and not (std.min() >= 0.25 and std.max() <= 4):
            channel = int(np.argmax(np.abs(np.log(np.maximum(std, 1e-30)))))
            bound = 4.0 if std[channel] > 1 else 0.25
            what, value, threshold = "the standard deviation is not near 1", float(std[channel]), bound
        elif self.range and min(images.low) >= 0:
            channel = int(np.argmin(images.low))
            what, value, threshold = "no value is below 0", float(min(images.low)), 0.0
        if what:
            yield Finding(
                images.step, images.epoch, f"channel {channel}", value, threshold,
                f"input images: {what}, so they are not normalised (mean {mean[channel]:.3g}, "
                f"standard deviation {std[channel]:.3g})",
                "normalise with statistics of the training images, or those of the pretrained weights",
                "data.stats=data",
            )  # fmt: skip


@dataclass
class StalledTraining(Rule):
    """Nothing happens any more: a loader that hangs, or a process that waits for another.

    Condition: no batch, of training or validation, begins or ends for ``threshold`` seconds, between the
    start and the end of the training.
    What to do: read ``debugger/stalled.txt``, where every thread's stack was written; a hanging loader is
    found with ``data.num_workers=0``.
    Differs from AWS: a thread in the process watches, and AWS's rule, named StalledTrainingRule, the
    tensors in S3. It cannot stop the run: a process that hangs does not come to its end.
    Example: a loader that waits for a lock: 1800 s without a batch.
    """

    threshold: float = 1800.0

    LIMITS: ClassVar = {"threshold": number(above=0)}
    RECORDED: ClassVar = ("threshold",)

    def on_stall(self, stall: Stall) -> Iterable[Finding]:
        if stall.gap_s > self.threshold:
            yield Finding(
                stall.step, stall.epoch, "training", stall.gap_s, self.threshold,
                f"stalled: nothing has happened for {stall.gap_s:.0f} s",
                "debugger/stalled.txt says where each thread waits; a loader is found without its workers",
                "data.num_workers=0",
            )  # fmt: skip
