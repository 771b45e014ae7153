"""What a person sees while it trains: a bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import sys
import time

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint, RichProgressBar


class EpochLines(Checkpoint):
    """One line an epoch on stderr: epoch, seconds, metrics.

    A ``Checkpoint`` only because Lightning calls those after the module's own epoch-end hooks.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        metrics = "  ".join(
            f"{name} {float(value):.4g}" for name, value in sorted(trainer.callback_metrics.items())
        )
        seconds = time.monotonic() - self._start
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        print(f"{epoch}  {seconds:.1f} s  {metrics}", file=sys.stderr, flush=True)


def progress_callback() -> Callback:
    """A progress bar where stderr is a terminal, lines where it is a file or a log."""
    if sys.stderr.isatty():
        return RichProgressBar(console_kwargs={"stderr": True}, leave=True)
    return EpochLines()
