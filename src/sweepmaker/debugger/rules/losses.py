"""Rules on losses: not falling, overfitting, overtraining."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from sweepmaker.config.rules import BOOLEAN, NOTHING, either, integer, number, one_of
from sweepmaker.debugger.observations import Evaluation, Step
from sweepmaker.debugger.rules.base import Finding, Rule

_BEGIN = 10  # batches whose mean loss is that of the beginning
_GAIN = 0.01  # of all validation images: more than chance moves to and fro
_LEARNED = 0.8  # of the first loss: a validation loss below this has seen something in the data


@dataclass
class LossNotDecreasing(Rule):
    """The loss does not fall.

    Condition: at a sampled step at least ``num_steps`` after the last comparison, the loss is compared with
    that of the newest sampled step at least ``num_steps`` before; it has risen by more than
    ``increase_threshold_percent``, or has fallen by less than ``diff_percent``. With ``smooth`` the mean of
    all batches since the last comparison takes the place of one batch's loss. With ``settled_percent`` the
    loss of a run that has fallen by this much from its beginning (the mean of ten batches, and at least what
    guessing gives, so that a trained network may go on) may stay where it is, and a rise only counts if it
    is as large as this share of the beginning.
    What to do: another learning rate (lower if it rises), correct labels, normalised images, a larger
    network.
    Differs from AWS: ``smooth`` and ``settled_percent`` are ours: ten steps of raw batch losses rise by
    chance all the time, and a run that has learned its data is meant to level off. ``mode`` TRAIN takes
    training losses, EVAL validation losses (one each validation, so ``num_steps`` is optimizer steps there
    too); AWS's GLOBAL, which mixes them, is TRAIN here. Training losses of a module with several optimizers
    are not asked: those of a GAN are not meant to fall. AWS documents the two percentages, not how they
    combine.
    Example: labels shuffled: 2.31 in the first 200 steps, 2.305 in the next: it fell by 0.2 % < 1 %.
    """

    num_steps: int = 10
    diff_percent: float = 0.1
    increase_threshold_percent: float = 5.0
    mode: str = "GLOBAL"
    smooth: bool = False
    settled_percent: float | None = None

    LIMITS: ClassVar = {
        "num_steps": integer(1),
        "diff_percent": number(least=0, most=100),
        "increase_threshold_percent": number(least=0),
        "mode": one_of("TRAIN", "EVAL", "GLOBAL"),
        "smooth": BOOLEAN,
        "settled_percent": either(number(above=0, below=100), NOTHING),
    }

    def __post_init__(self) -> None:
        self._seen: list[tuple[int, float]] = []
        self._window: list[float] = []
        self._first: float | None = None
        self._checked: int | None = None

    def on_step(self, step: Step) -> Iterable[Finding]:
        if self.mode == "EVAL" or not step.losses or step.names.optimizers > 1:
            return ()
        if not self.smooth:
            return self._compare(step.step, step.epoch, step.loss)
        self._window += step.losses
        if self._checked is None:
            self._checked = step.step
        if step.step < self._checked + self.num_steps:
            return ()
        if self._first is None:
            begin = self._window[:_BEGIN]
            chance = math.log(step.names.classes) if step.names.classes else 0.0
            self._first = max(sum(begin) / len(begin), chance)
        mean = sum(self._window) / len(self._window)
        self._window = []
        return self._compare(step.step, step.epoch, mean)

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        if self.mode != "EVAL" or evaluation.loss is None:
            return ()
        return self._compare(evaluation.step, evaluation.epoch, evaluation.loss)

    def _compare(self, step: int, epoch: int, loss: float) -> Iterable[Finding]:
        if not math.isfinite(loss):
            return  # ExplodingTensor's
        self._first = loss if self._first is None else self._first
        earlier = [entry for entry in self._seen if entry[0] <= step - self.num_steps]
        self._seen = [*earlier[-1:], *(entry for entry in self._seen if entry not in earlier), (step, loss)]
        if self.smooth or self._checked is None:
            self._checked = step
        elif step < self._checked + self.num_steps:
            return
        if not earlier:
            return
        self._checked = step
        reference = earlier[-1][1]
        change = 100 * (loss - reference) / abs(reference) if reference else math.copysign(math.inf, loss)
        rises = change > 0
        bound = self.increase_threshold_percent if rises else self.diff_percent
        if not (change > bound if rises else -change < bound) or self._settled(loss, reference):
            return
        yield Finding(
            step, epoch, "loss", change, bound if rises else -bound,
            f"loss not decreasing: {reference:.4g} before, {loss:.4g} at least {self.num_steps} steps later",
            "another learning rate (lower if the loss rises), and look at labels and images: python data.py",
        )  # fmt: skip

    def _settled(self, loss: float, reference: float) -> bool:
        if self.settled_percent is None or not self._first:
            return False
        part = abs(self._first) * self.settled_percent / 100
        return self._first - loss >= part and loss - reference < part


@dataclass
class Overfit(Rule):
    """The network learns its training images by heart: it does ever better on them than on others.

    Condition: (validation loss - training loss) / training loss > ``ratio_threshold`` at ``patience``
    validations in a row, from ``start_step`` on. With ``rise`` the validation loss must also lie above its
    best by this share, its best must show that something was learned, and no more images may be recognised
    than before (by more than one in a hundred).
    What to do: more data or augmentation, dropout, weight decay, label smoothing, fewer epochs, or a frozen
    backbone (``model.finetune=head``).
    Differs from AWS: the unit is one validation; AWS compares saved steps. ``rise`` is ours: a gap between
    a training loss of 0.01 and a validation loss of 0.02 is a ratio of 1 and no reason to stop; and in the
    first epochs from scratch the loss of a few wild answers may rise while ever more images are recognised.
    The training loss is the mean of the second half of the epoch, and label smoothing is taken out of it,
    which would hide the gap; mixup, dropout and strong augmentation still make it look larger than it is.
    Example: 40 images, epoch 12: training 0.02, validation 1.9, best 1.2.
    """

    start_step: int = 0
    patience: int = 1
    ratio_threshold: float = 0.1
    rise: float | None = None

    LIMITS: ClassVar = {
        "start_step": integer(0),
        "patience": integer(1),
        "ratio_threshold": number(least=0),
        "rise": either(number(least=0), NOTHING),
    }

    def __post_init__(self) -> None:
        self._count = 0
        self._best = math.inf
        self._first = 0.0
        self._most = math.inf

    def on_step(self, step: Step) -> Iterable[Finding]:
        if not self._first and step.losses:
            # a new head does not know more than chance, whatever the first batch looked like
            chance = math.log(step.names.classes) if step.names.classes else 0.0
            self._first = max(step.losses[0], chance)
        return ()

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        loss, train = evaluation.loss, evaluation.train_loss
        if loss is None or train is None or not train > 0:
            return
        self._best = min(self._best, loss)
        ratio = (loss - train) / train
        met = evaluation.step >= self.start_step and ratio > self.ratio_threshold
        if self.rise is not None:
            met &= self._best < _LEARNED * self._first and loss > (1 + self.rise) * self._best
            met &= not self._recognises_more(evaluation)
        self._count = self._count + 1 if met else 0
        if self._count >= self.patience:
            best = f", {self._best:.3g} at its best" if self._best < loss else ""
            yield Finding(
                evaluation.step, evaluation.epoch, "valid/loss", ratio, self.ratio_threshold,
                f"overfit: the loss is {train:.3g} on training images and {loss:.3g} on others{best}",
                "more images or augmentation, dropout, weight decay; or fewer epochs, or a frozen backbone",
                "optimizer.weight_decay=0.1",
            )  # fmt: skip

    def _recognises_more(self, evaluation: Evaluation) -> bool:
        """Than at the best validation before; False where predictions are not known."""
        if not evaluation.support or not evaluation.correct or not sum(evaluation.support):
            return False
        share = sum(evaluation.correct) / sum(evaluation.support)
        more = share > self._most + _GAIN
        self._most = share if math.isinf(self._most) else max(self._most, share)
        return more


@dataclass
class Overtraining(Rule):
    """The run goes on although nothing gets better any more.

    Condition: the training loss has not improved by ``delta`` (absolute) for ``patience_train`` validations
    in a row, or the validation loss for ``patience_validation``. A patience that is null is not asked.
    What to do: fewer epochs, or ``callbacks=early_stopping``; with ``action: stop`` this rule does that
    itself.
    Differs from AWS: the unit is one validation, AWS's one saved step. How AWS combines the two counters is
    not documented; here either is enough, and the finding says which.
    Example: epoch 14: validation loss 0.31, best 0.30 ten validations ago.
    """

    patience_train: int | None = 5
    patience_validation: int | None = 10
    delta: float = 0.01

    LIMITS: ClassVar = {
        "patience_train": either(integer(1), NOTHING),
        "patience_validation": either(integer(1), NOTHING),
        "delta": number(least=0),
    }

    def __post_init__(self) -> None:
        self._best = {"train/loss": math.inf, "valid/loss": math.inf}
        self._waited = {"train/loss": 0, "valid/loss": 0}
        self._best_epoch = {"train/loss": 0, "valid/loss": 0}
        self._improvements = {"train/loss": 0, "valid/loss": 0}

    def on_evaluation(self, evaluation: Evaluation) -> Iterable[Finding]:
        pairs = (
            ("train/loss", evaluation.train_loss, self.patience_train),
            ("valid/loss", evaluation.loss, self.patience_validation),
        )
        for name, loss, patience in pairs:
            if loss is None or patience is None or not math.isfinite(loss):
                continue  # not finite: ExplodingTensor's
            if loss < self._best[name] - self.delta:
                self._best[name], self._waited[name] = loss, 0
                self._improvements[name] += 1
                self._best_epoch[name] = evaluation.epoch
            else:
                self._waited[name] += 1
            if self._waited[name] >= patience:
                yield self._finding(evaluation, name, patience)

    def _finding(self, evaluation: Evaluation, name: str, patience: int) -> Finding:
        waited, epochs = self._waited[name], self._best_epoch[name] + 1
        advice = f"fewer epochs, or early stopping: {epochs} of {evaluation.epoch + 1} epochs were enough"
        improved = self._improvements[name] > 1
        if not improved:  # the first is the best: fewer epochs would not have made a model
            advice = "it has never got better: look at labels and learning rate; more images, other weights"
        return Finding(
            evaluation.step, evaluation.epoch, name, float(waited), float(patience),
            f"overtraining: {waited} validations without a loss better than {self._best[name]:.3g} "
            f"(epoch {self._best_epoch[name]})",
            advice, f"epochs={epochs}" if improved else None,
        )  # fmt: skip
