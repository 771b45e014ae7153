"""The Lightning callback that observes a run and lets rules look at it."""

from __future__ import annotations

import functools
import logging
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch import Tensor
from torch.optim import Optimizer

from sweepmaker.config.errors import UserError
from sweepmaker.debugger.desk import Desk
from sweepmaker.debugger.observations import Evaluation, Names
from sweepmaker.debugger.sampler import Sampler
from sweepmaker.debugger.settings import EVERY_N_STEPS, Settings

log = logging.getLogger(__name__)

METRIC = "debugger/findings"
_VALIDATION_LOSSES = (
    "valid/loss",
    "val/loss",
    "val_loss",
    "valid_loss",
    "validation/loss",
    "validation_loss",
)
_SHARDED = ("FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy")
_ANY_LOSS = re.compile(r"val.*loss")
Hook = TypeVar("Hook", bound=Callable[..., Any])


def validation_loss(trainer: Trainer) -> str | None:
    """What the module calls its validation loss; of several the first by the alphabet, None without one."""
    shown = trainer.callback_metrics
    usual = (name for name in _VALIDATION_LOSSES if name in shown)
    return next(usual, None) or next((name for name in sorted(shown) if _ANY_LOSS.match(name)), None)


def _guarded(hook: Hook) -> Hook:
    """A fault in what only watches must not end the run: rules end as Error, training goes on."""

    @functools.wraps(hook)
    def guarded(self: Debugger, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self.off:
            return
        try:
            hook(self, trainer, *args, **kwargs)
        except UserError:
            raise  # the disk is full, which everything else of the run meets too
        except Exception as error:
            if trainer.world_size > 1:
                raise  # the others wait for this process's numbers
            log.exception("the debugger is off from here; the training goes on")
            self.turn_off(trainer, f"{type(error).__name__}: {error}")

    return guarded  # type: ignore[return-value]


class Debugger(Callback):
    """Observes, stores, and lets rules look; in DDP rank 0 reports.

    Draws no random numbers and changes nothing that is trained: a run has the same weights without it.

    Args:
        settings: checked (`sweepmaker.debugger.settings.check`).
        folder: the run's ``debugger`` folder.
        resume: the run's folder, for the message of a full disk; None where it cannot be continued.
        fresh: the network's weights were initialised, not loaded.
        own: ``model``, ``data``: what of the run is a class of the user's own.

    Attributes:
        every_n_steps: optimizer steps between samples; the runner may change it before training.
        automatic: the settings leave it to the runner.
        stopped: what ended the run: ``{"rule", "step", "epoch", "reason"}``; None while nothing did.
    """

    def __init__(
        self, settings: Settings, folder: Path, *, resume: Path | None = None, fresh: bool = True,
        own: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.automatic = settings.every_n_steps is None
        self.every_n_steps = settings.every_n_steps or EVERY_N_STEPS
        self.stopped: dict[str, Any] | None = None
        self.off = False
        self._settings = settings
        self._fresh, self._own = fresh, list(own)
        self._desk = Desk(settings, folder, resume)
        self._sampler: Sampler | None = None
        self._state: dict[str, Any] | None = None  # to go on from
        self._evaluated = False
        self._findings = 0

    def turn_off(self, trainer: Trainer, reason: str) -> None:
        """Watch no more; every rule that has not fired ends as Error."""
        self.off = True
        if self._sampler is not None:
            self._sampler.abort()
        if trainer.is_global_zero:  # the folder is shared, and only its desk knows what was found
            self._desk.fail(reason)

    # --- resuming

    def state_dict(self) -> dict[str, Any]:
        if self._sampler is None:
            return self._state or {}
        return {"sampler": self._sampler.state_dict(), "size": self._desk.size, "evaluated": self._evaluated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._state = state_dict

    # --- training

    @_guarded
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sharded = type(trainer.strategy).__name__
        if sharded in _SHARDED:
            log.warning("no debugger rules with %s: no process sees a whole gradient", sharded)
            self.turn_off(trainer, f"gradients are spread over processes ({sharded})")
            return
        state, self._state = self._state or {}, None
        sampler = self._sampler = Sampler(self._settings, self.every_n_steps, trainer, pl_module)
        if state:
            sampler.load_state_dict(state["sampler"], pl_module.device)
            self._evaluated = state["evaluated"]
        if trainer.is_global_zero:
            place = (trainer.global_step, trainer.current_epoch)
            self._desk.begin(self._names(), state.get("size", 0), place)
            for observation in sampler.before(trainer) if not state else ():
                self._desk.take(observation)
        self._decide(trainer)

    @_guarded
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._desk.beat(trainer.global_step, trainer.current_epoch)
        self._of().begin(trainer, batch, batch_idx)

    @_guarded
    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self._of().gradients(trainer, optimizer)

    @_guarded
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int
    ) -> None:
        self._desk.beat(trainer.global_step, trainer.current_epoch)
        sampler = self._of()
        loss = outputs if isinstance(outputs, Tensor) else (outputs or {}).get("loss")
        record = sampler.end(trainer, batch, loss if isinstance(loss, Tensor) else None)
        for observation in sampler.first(trainer):
            self._take(trainer, observation)
        if record is not None:
            if trainer.is_global_zero:
                self._desk.name(self._names())
                self._desk.take_step(record)
            self._decide(trainer)

    # --- validation

    @_guarded
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._watches(trainer):
            self._of().begin_validation(pl_module)

    @_guarded
    def on_validation_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if self._watches(trainer):
            self._desk.beat(trainer.global_step, trainer.current_epoch)

    @_guarded
    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: STEP_OUTPUT, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        if self._watches(trainer):
            self._of().validated(batch)

    @_guarded
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._watches(trainer):
            name = validation_loss(trainer)
            loss = None if name is None else float(trainer.callback_metrics[name])
            self._evaluate(trainer, loss, self._of().confusion(trainer, pl_module))

    def _evaluate(self, trainer: Trainer, loss: float | None, counts: dict[str, Any] | None) -> None:
        train_loss = self._of().train_loss(trainer)
        place = (trainer.global_step, trainer.current_epoch)
        self._take(trainer, Evaluation(*place, loss, train_loss, **(counts or {})))
        self._evaluated = True
        self._decide(trainer)

    # --- ends

    @_guarded
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for observation in self._of().first(trainer, anyway=True):
            self._take(trainer, observation)
        if not self._evaluated and not sum(trainer.num_val_batches):
            self._evaluate(trainer, None, None)
        self._evaluated = False
        self._findings = self._desk.count
        trainer.callback_metrics[METRIC] = torch.tensor(float(self._findings))
        # counted already, while Lightning still logs the epoch's metrics under the step before
        step = trainer.fit_loop.epoch_loop._batches_that_stepped - 1
        for logger in trainer.loggers:
            logger.log_metrics({METRIC: float(self._findings), "epoch": trainer.current_epoch}, step=step)

    @_guarded
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._of().abort()
        if _went_through(trainer):
            self.stopped = None
        if trainer.is_global_zero:
            place = (trainer.global_step, max(trainer.current_epoch - 1, 0))
            self._desk.end(*place, stopped=self.stopped is not None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        if self._sampler is not None:
            self._sampler.abort()
        if trainer.is_global_zero:
            self._desk.cut_off()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            self._desk.close()

    # --- parts

    def _names(self) -> Names:
        sampler = self._of()
        return Names(
            sampler.parameters, sampler.trained.shapes, sampler.layers,
            sampler.activations.types, sampler.classes, self._fresh, self._settings.recorded(),
            sampler.class_names, sampler.optimizers, self._own,
        )  # fmt: skip

    def _of(self) -> Sampler:
        assert self._sampler is not None, "training has not begun"
        return self._sampler

    def _watches(self, trainer: Trainer) -> bool:
        return trainer.state.fn == "fit" and not trainer.sanity_checking and self._sampler is not None

    def _take(self, trainer: Trainer, observation: Any) -> None:
        if trainer.is_global_zero:
            self._desk.take(observation)

    def _decide(self, trainer: Trainer) -> None:
        """End the run if a rule asks for it; all processes at the same batch."""
        if not any(one.stops for one in self._settings.rules):
            return
        stop = self._desk.stop is not None
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if stop:
            if self.stopped is None and trainer.is_global_zero and not trainer.fit_loop._can_stop_early:
                least = (
                    f"trainer.min_epochs={trainer.min_epochs}" if trainer.min_epochs else "trainer.min_steps"
                )
                print(f"debugger: the run goes on until {least}, and ends then", file=sys.stderr, flush=True)
            trainer.should_stop = True
            self.stopped = self._desk.why() or {"rule": None}


def _went_through(trainer: Trainer) -> bool:
    """Whether the training came to its own end, though a rule asked for less: ``min_epochs`` may be all."""
    if trainer.max_steps != -1 and trainer.global_step >= trainer.max_steps:
        return True
    epochs = trainer.max_epochs
    return epochs not in (None, -1) and trainer.current_epoch >= epochs and trainer.is_last_batch
