"""Takes the numbers of a step: what runs on the device, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from sweepmaker.debugger import batches, classes, pending
from sweepmaker.debugger.activations import Activations, inactive
from sweepmaker.debugger.observations import Images, Labels, step_record
from sweepmaker.debugger.settings import Settings
from sweepmaker.debugger.tensors import Columns, Trained

SAMPLES_BEFORE_DOUBLING = 1_000
"""With ``every_n_steps: auto``: after each so many samples the next are twice as far apart."""
_CLEAN_BATCHES = 16  # an epoch: enough for a mean loss without label smoothing
_LOCAL = {"losses", "clean", "output_mean", "input_var"}  # what differs between processes


class Sampler:
    """Args:
    settings: the checked settings.
    every: optimizer steps between samples.
    trainer: about to train.
    module: what is trained.
    """

    def __init__(self, settings: Settings, every: int, trainer: Trainer, module: LightningModule) -> None:
        self._settings = settings
        self._every = every
        self._module = module
        compiled = getattr(module, "_compiler_ctx", None) is not None
        self.activations = Activations(torch.nn.Module() if compiled else module, settings.bounds())
        self.activations.compiled |= compiled
        self._logits = batches.Logits(module) if not compiled else None
        self.classes = classes.count(trainer)
        self.class_names = classes.names(trainer)
        self.optimizers = len(trainer.strategy.optimizers)
        self._name()
        self._losses = pending.Losses()
        samples = int(settings.parameter("ClassImbalance", "samples", 0))
        self._counts = classes.images(trainer) if samples else None
        # a class needs to have a chance to occur
        samples = max(samples, 50 * (self.classes or 0)) if samples and self._counts is None else 0
        images = int(settings.parameter("CheckInputImages", "threshold_samples", 0))
        self._first = pending.FirstBatches(images, samples)
        self._smoothing = float(getattr(module, "label_smoothing", 0.0) or 0.0) > 0
        initial = "PoorWeightInitialization"
        self._initial_steps = int(settings.parameter(initial, "steps", 0))
        self._percentiles = settings.parameter(initial, "distribution_range", None) is not None
        self._samples = 0
        self._last: int | None = None
        self._place: tuple[int, int] | None = None  # of the step that is being sampled
        self._columns: Columns = {}
        self._before: list[Tensor] = []
        self._stepped: set[int] = set()  # parameters whose optimizer has stepped, where there are several
        self._lr = self._peak_lr = 0.0
        self._wants_logits = False
        self._confusion: Tensor | None = None

    def _name(self) -> None:
        """Find what trains now, and what to call it and the activations."""
        self.trained = Trained(self._module)
        below = _below(self.trained.names)
        self.parameters = [name.removeprefix(below) for name in self.trained.names]
        self.layers = [name.removeprefix(below) for name in self.activations.names]

    def abort(self) -> None:
        """Leave no hook behind."""
        self.activations.stop()
        if self._logits is not None:
            self._logits.stop()
        self._forget()

    def _forget(self) -> None:
        """Nothing is being sampled any more."""
        self._place, self._before, self._columns, self._stepped = None, [], {}, set()

    def before(self, trainer: Trainer) -> Iterator[Labels]:
        """What is known before the first batch."""
        if self._counts is not None:
            yield Labels(trainer.global_step, trainer.current_epoch, self._counts, whole=True)

    # --- one batch

    def begin(self, trainer: Trainer, batch: Any, index: int) -> None:
        """A training batch is about to be seen by the network.

        Changes nothing that `state_dict` holds: a checkpoint may be written between this and the batch.
        """
        step, batches_in_epoch = trainer.global_step, trainer.num_training_batches
        if self._due(step) and _completes_step(trainer, index):
            if not self.trained.is_current():
                self._name()
            self._place = (step, trainer.current_epoch)
            profiler: Any = trainer.profiler  # type: ignore[attr-defined]
            with profiler.profile("unusual_step"):  # whoever looks for slow steps hears of ours
                pass
            self.activations.begin(first=self._samples < self._initial_steps)
        if self._smoothing and self._logits is not None and batches_in_epoch != float("inf"):
            # one validation an epoch: its second half counts
            whole = float(trainer.val_check_batch or 0) >= batches_in_epoch
            every = max(1, int(batches_in_epoch) // _CLEAN_BATCHES)
            self._wants_logits = index % every == 0 and not (whole and index < batches_in_epoch // 2)
            if self._wants_logits:
                self._logits.begin()

    def _look(self, batch: Any) -> None:
        if self._first.wants("images") and (images := batches.images_of(batch)) is not None:
            self._first.add_images(batches.moments(images), len(images), images[0, 0].numel())
        if self._first.wants("labels") and (labels := batches.labels_of(batch)) is not None:
            self._first.add_labels(labels)

    def gradients(self, trainer: Trainer, optimizer: Optimizer) -> None:
        """Gradients are whole, and ``optimizer`` is about to step."""
        if self._place is None:
            return
        # a fused optimizer divides by the scale itself, in its step
        scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
        scaled = scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False)
        scale = float(scaler.get_scale()) if scaled else 1.0
        group = optimizer.param_groups[0]
        self._lr = float(group["lr"])  # the schedule steps before the batch ends
        self._peak_lr = float(group.get("max_lr", group.get("initial_lr", self._lr)))
        first = self._samples < self._initial_steps
        self._columns = self.trained.gradients(
            percentiles=first and self._percentiles, scale=scale, known=self._columns,
            without=self._others(trainer, optimizer),
        )  # fmt: skip
        if not self._before:
            self._before = self.trained.copy()

    def _others(self, trainer: Trainer, optimizer: Optimizer) -> set[int]:
        """Parameters that only other optimizers have: of a GAN's two each steps when it wants to."""
        if self.optimizers < 2:
            return set()
        optimizers = trainer.strategy.optimizers
        own = self.trained.of_optimizers([optimizer])
        self._stepped |= own
        return self.trained.of_optimizers(optimizers) - own

    def end(self, trainer: Trainer, batch: Any, loss: Tensor | None) -> dict[str, Any] | None:
        """The batch is done; the record of its step where it was sampled."""
        if not self._first.done:
            self._look(batch)
        if loss is not None:
            # at every step: a head on cached features feels each further operation
            loss = loss.detach() if loss.ndim == 0 else loss.detach().mean()
            # Lightning has divided it by the batches that make up a step
            self._losses.add(loss * parts if (parts := _parts(trainer)) > 1 else loss)
        if self._wants_logits and self._logits is not None:
            self._wants_logits = False
            labels = batches.labels_of(batch)
            logits = self._logits.take(labels)
            self._logits.stop()
            if logits is not None and labels is not None:
                self._losses.add_clean(batches.cross_entropy(logits, labels))
        if self._place is None:
            return None
        self.activations.stop()
        if trainer.global_step == self._place[0]:  # a module that steps by itself, every few batches
            self._forget()
            return None
        record = self._record(trainer)
        self._last = self._place[0]
        self._forget()
        self._samples += 1
        return record

    def _record(self, trainer: Trainer) -> dict[str, Any]:
        assert self._place is not None
        step, epoch = self._place
        idle: set[int] = set()
        if self._stepped:  # of several optimizers
            idle = self.trained.of_optimizers(trainer.strategy.optimizers) - self._stepped
        columns = self._columns | self.trained.weights(self._before, idle)
        if self.activations.names:
            columns |= self.activations.columns(trainer.strategy.root_device)
        # a layer's units are not of one number: they are reduced before they are counted
        units = {f"units {place}": share for place, share in self.activations.ready().items()}
        if trainer.world_size > 1:
            reduce = trainer.strategy.reduce
            units = {name: reduce(share, reduce_op="mean") for name, share in units.items()}
        units = {name: inactive(share) for name, share in units.items()}
        numbers = pending.fetch(self._losses.waiting() | columns | units, trainer, _LOCAL)
        self._losses.fetched(numbers)
        return step_record(
            {name: numbers[name] for name in columns},
            self._losses.record(),
            {int(name.split()[1]): numbers[name] for name in units} or None,
            step=step, epoch=epoch, lr=self._lr, peak_lr=self._peak_lr,
            skipped=_skipped(trainer, numbers),
        )  # fmt: skip

    def _due(self, step: int) -> bool:
        if self._last is None or step < self._settings.first_steps:
            return self._last != step
        every = self._every
        if self._settings.every_n_steps is None:  # left to us: a file of a month-long run stays small
            every <<= self._samples // SAMPLES_BEFORE_DOUBLING
        return step // every > self._last // every

    # --- what is seen once

    def first(self, trainer: Trainer, *, anyway: bool = False) -> Iterator[Images | Labels]:
        """Images and labels, once enough of them were seen (``anyway``: of those that there were)."""
        if self._first.done:
            return
        place = (trainer.global_step, trainer.current_epoch)
        if (images := self._first.images(anyway=anyway)) is not None:
            yield Images(*place, **images)
        if (labels := self._first.labels(anyway=anyway)) is not None:
            yield Labels(*place, labels, whole=False)

    # --- validation

    def train_loss(self, trainer: Trainer) -> float | None:
        """Mean training loss since the last validation; all processes have to call it."""
        self._losses.fetched(pending.fetch(self._losses.waiting(), trainer, _LOCAL))
        return self._losses.since_validation()

    def begin_validation(self, module: LightningModule) -> None:
        """Predictions are looked for where the module does not keep them itself."""
        self._confusion = None
        if self._logits is not None and not isinstance(getattr(module, "confusion", None), dict):
            self._logits.begin()

    def validated(self, batch: Any) -> None:
        """A validation batch is done."""
        labels = batches.labels_of(batch)
        logits = self._logits.take(labels) if self._logits is not None else None
        if logits is not None and labels is not None and logits.shape[1] <= batches.MOST_CONFUSED:
            seen = batches.confusion(logits, labels)
            known = self._confusion
            self._confusion = seen if known is None or known.shape != seen.shape else known + seen

    def confusion(self, trainer: Trainer, module: LightningModule) -> dict[str, Any] | None:
        """What is known of the validation's predictions."""
        if self._logits is not None:
            self._logits.stop()
        kept = getattr(module, "confusion", None)
        matrix = kept.get("valid") if isinstance(kept, dict) else None
        if isinstance(matrix, Tensor):
            return batches.counts(matrix)
        if self._confusion is None:
            return None
        total = trainer.strategy.reduce(self._confusion, reduce_op="sum")
        assert isinstance(total, Tensor)
        return batches.counts(total)

    # --- resuming

    def state_dict(self) -> dict[str, Any]:
        """Between two batches: everything that the next sample builds on."""
        return {
            "samples": self._samples, "last": self._last, "losses": self._losses.state_dict(),
            "first": self._first.state_dict(), "activations": self.activations.state_dict(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on where an earlier process was."""
        self._samples, self._last = state["samples"], state["last"]
        self._losses.load_state_dict(state["losses"], device)
        self._first.load_state_dict(state["first"], device)
        self.activations.load_state_dict(state["activations"], device)


def _completes_step(trainer: Trainer, index: int) -> bool:
    last = index + 1 == trainer.num_training_batches
    return last or (index + 1) % trainer.accumulate_grad_batches == 0


def _parts(trainer: Trainer) -> int:
    """Batches that Lightning itself makes one step of."""
    parts = trainer.accumulate_grad_batches
    return parts if parts > 1 and trainer.lightning_module.automatic_optimization else 1


def _below(names: list[str]) -> str:
    """What all names begin with and say nothing by: ``net.`` of ``net.features.0``, but not of ``net.0``."""
    first = {name.partition(".")[0] + "." for name in names}
    deep = all(name.count(".") > 1 and not name.split(".")[1].isdigit() for name in names)
    return first.pop() if len(first) == 1 and deep else ""


def _skipped(trainer: Trainer, numbers: dict[str, list[float]]) -> bool:
    """Whether a gradient scaler keeps the optimizer from this step: it does so for what is not finite."""
    if getattr(trainer.precision_plugin, "scaler", None) is None:
        return False
    there = ~np.isnan(np.array(numbers.get("grad_nonzero", [])))
    return not np.isfinite(np.array(numbers.get("grad_mean", []))[there]).all()
