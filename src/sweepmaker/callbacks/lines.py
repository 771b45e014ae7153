"""Metric lines on stdout (contract 2): one metric a line, flushed, from rank 0 only."""

from __future__ import annotations

import logging
import sys
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from sweepmaker.metrics.line import ALLOWED, NAME, format_line

log = logging.getLogger(__name__)


class EpochMetrics(Checkpoint):
    """Tells the metrics of this epoch from those that Lightning still shows of an earlier validation.

    A ``Checkpoint`` only because Lightning calls those after the module's own epoch-end hooks.
    """

    def __init__(self) -> None:
        self._of_validation: set[str] = set()  # by name
        self._validated = False  # in this epoch
        self._before: dict[str, Tensor] = {}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking and trainer.state.fn == "fit":
            # by identity: an equal value that was logged anew is a tensor of its own
            now = trainer.callback_metrics
            self._of_validation |= {
                name for name, value in now.items() if value is not self._before.get(name)
            }
            self._validated = True
        self._before = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        stale = set() if self._validated else self._of_validation
        self._validated = False
        if trainer.is_global_zero:
            metrics = trainer.callback_metrics
            self.show(trainer, {name: value for name, value in metrics.items() if name not in stale})

    def show(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        """An epoch has ended with these metrics; on rank 0 only."""


class MetricLines(EpochMetrics):
    """Prints what was logged in an epoch when the epoch ends, its validation included."""

    def __init__(self) -> None:
        super().__init__()
        self._refused: set[str] = set()

    # Not of EpochLines: with a bar on the terminal it is not there, and Lightning warns of lost states.

    def state_dict(self) -> dict[str, Any]:
        return {"of_validation": sorted(self._of_validation), "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._of_validation = set(state_dict["of_validation"])
        self._validated = state_dict["validated"]

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.show(trainer, trainer.callback_metrics)  # Lightning empties them before a test

    def show(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        for name, value in metrics.items():
            if NAME.fullmatch(name):
                line = format_line(name, float(value), epoch=trainer.current_epoch, step=trainer.global_step)
                sys.stdout.write(line + "\n")
            elif name not in self._refused:
                self._refused.add(name)
                log.warning("metric %r gets no line on stdout, its name does not fit: %s", name, ALLOWED)
        sys.stdout.flush()
