"""The objective of a run: the best value so far, kept exactly as it was logged."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sweepmaker.config.errors import ConfigError

log = logging.getLogger(__name__)


class Objective(Checkpoint):
    """Follows one metric and logs its best so far as ``<name>_best``.

    A ``Checkpoint`` only because Lightning calls those last, after the module has logged.

    Args:
        name: the metric, such as ``valid/top1``.
        mode: ``max`` or ``min``.
    """

    def __init__(self, name: str, mode: str) -> None:
        self.name = name
        self.mode = mode
        self.best: float | None = None
        self.epoch: int | None = None

    @property
    def best_name(self) -> str:
        """The name under which the best so far is logged."""
        return f"{self.name}_best"

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            self._update(trainer, trainer.fit_loop.epoch_loop._batches_that_stepped)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # without a validation split the objective can still be a training metric
        if self.name in trainer.callback_metrics and not _validates(trainer):
            # counted already, while Lightning still logs the epoch's metrics under the step before
            self._update(trainer, trainer.fit_loop.epoch_loop._batches_that_stepped - 1)

    def _update(self, trainer: Trainer, step: int) -> None:
        if self.name not in trainer.callback_metrics:
            raise ConfigError(
                f"no metric {self.name!r} was logged in validation",
                key="objective.name",
                allowed=", ".join(sorted(trainer.callback_metrics)) or "(nothing was logged)",
                fix="objective.name=<one of these>",
            )
        value = float(trainer.callback_metrics[self.name])
        if not math.isfinite(value):
            log.warning("%s is %s in epoch %d: not an objective", self.name, value, trainer.current_epoch)
        elif self.best is None or (value > self.best if self.mode == "max" else value < self.best):
            self.best, self.epoch = value, trainer.current_epoch
        if self.best is None:
            return
        trainer.callback_metrics[self.best_name] = torch.tensor(self.best)
        for logger in trainer.loggers:
            logger.log_metrics({self.best_name: self.best, "epoch": trainer.current_epoch}, step=step)


def _validates(trainer: Trainer) -> bool:
    # no loader yet: a resumed run whose first epoch has no validation (check_val_every_n_epoch)
    loads = trainer.val_dataloaders is None or any(trainer.num_val_batches)
    return bool(trainer.enable_validation and loads)
