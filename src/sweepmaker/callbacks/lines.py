"""Metric lines on stdout (contract 2): one metric a line, flushed, from rank 0 only."""

from __future__ import annotations

import sys

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from sweepmaker.metrics.line import NAME, format_line


class MetricLines(Checkpoint):
    """Prints what was logged in an epoch when the epoch ends, its validation included.

    A ``Checkpoint`` only because Lightning calls those after the module's own epoch-end hooks.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer, "")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer, "test/")

    def _print(self, trainer: Trainer, prefix: str) -> None:
        if not trainer.is_global_zero:
            return
        for name, value in trainer.callback_metrics.items():
            if name.startswith(prefix) and NAME.fullmatch(name):
                line = format_line(name, float(value), epoch=trainer.current_epoch, step=trainer.global_step)
                sys.stdout.write(line + "\n")
        sys.stdout.flush()
