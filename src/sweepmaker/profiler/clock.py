"""The step clock: how long each step of training took, and in what; and what run.json says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from sweepmaker.profiler.phases import CHECKPOINT, DATA_WAIT, PHASES, VALIDATION, Phases

Row = tuple[list[float], int, bool]
"""(seconds of each phase, images, whether it is known to be unlike the others: it follows an epoch's begin, a
validation or a checkpoint, or somebody told so)."""
Tell = Callable[[Trainer], None]
NO_STEP = -1  # in the place of the images: what training did after its last step


class StepClock(Callback):
    """Cuts the time of training into optimizer steps; costs a few microseconds each.

    Args:
        phases: what tells the phases apart; also given to the trainer.
        keep: keep every step's row until it is drained; else only the sums.
        told: called with the trainer when training has begun, and when it has ended well. (A callback of
            their own would cost more than the clock: Lightning asks each of them ten times a step.)

    Attributes:
        keep: as given; may be changed.
        begun, first, ended: seconds of `time.perf_counter` at which training began, the first step had its
            batch, and training ended; None before.
        images: of all steps and processes.
        training: seconds of each phase so far.
        rows: steps that nobody drained yet; the wait for the first batch (workers start, a disk's first
            reads) is in none of them: it is part of the run's start.
    """

    def __init__(self, phases: Phases, *, keep: bool = False, told: tuple[Tell, Tell] | None = None) -> None:
        self._phases = phases
        self.keep = keep
        self._told = told
        self._first_of_epoch = True
        self._gathered = 0  # images of batches that wait for their optimizer step
        self._at = 0  # the optimizer step that was taken last
        self.training = [0.0] * len(PHASES)
        self.begun: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.images = 0
        self.rows: list[Row] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._phases.begin()
        self._at = trainer.global_step
        self.begun = time.perf_counter()
        if self._told is not None:
            self._told[0](trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first_of_epoch = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.first is None:
            self._sum_up(self._phases.take())
            self.first = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        images = images_in(batch) * trainer.world_size
        self.images += images
        self._gathered += images
        if trainer.accumulate_grad_batches > 1 and trainer.global_step == self._at:
            return  # with gradients accumulated, a batch that steps is not like the others
        self._at = trainer.global_step
        self._take(self._gathered)
        self._gathered = 0
        self._first_of_epoch = False

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._phases.active:
            self._phases.enter(VALIDATION)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._phases.active:
            self._phases.leave()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end()
        if self._told is not None:
            self._told[1](trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end()

    def _end(self) -> None:
        if self._phases.active:
            if self.first is None:  # its batch never came
                self._sum_up(self._phases.take())
            else:
                self._take(NO_STEP)
            self._phases.end()
            self.ended = time.perf_counter()

    def _take(self, images: int) -> None:
        row = self._phases.take()
        self._sum_up(row)
        if self.keep:
            # after a validation, too, workers and caches begin anew: such a step is not like the others
            between = row[VALIDATION] > 0 or row[CHECKPOINT] > 0
            unusual = self._first_of_epoch or between or self._phases.unusual
            self.rows.append((row, images, unusual))
        self._phases.unusual = False

    def _sum_up(self, row: list[float]) -> None:
        sums = self.training
        for place, seconds in enumerate(row):
            sums[place] += seconds

    def drain(self) -> list[Row]:
        """Take the rows so far; from any thread while training goes on."""
        count = len(self.rows)
        taken = self.rows[:count]
        del self.rows[:count]
        return taken

    def as_dict(self, earlier_fit_seconds: float) -> dict[str, float | None]:
        """``fit_seconds`` (this and earlier processes), ``images_per_second``, ``data_wait_fraction``."""
        if self.begun is None:
            return {"fit_seconds": earlier_fit_seconds}
        fit = (self.ended or time.perf_counter()) - self.begun
        training = fit - self.training[VALIDATION] - self.training[CHECKPOINT]
        if not self.images or training <= 0:
            return {"fit_seconds": earlier_fit_seconds + fit}
        return {
            "fit_seconds": round(earlier_fit_seconds + fit, 3),
            "images_per_second": round(self.images / training, 3),
            "data_wait_fraction": round(self.training[DATA_WAIT] / training, 4),
        }


def images_in(batch: Any) -> int:
    """Length of the first tensor or array in a batch of any form that has one; 0: there is none.

    The form is the user's own: names beside the images, a dict, a loss that is a single number.
    """
    shape = getattr(batch, "shape", None)
    if shape:
        return int(shape[0])
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else ()
    for part in parts:
        if found := images_in(part):
            return found
    return 0
