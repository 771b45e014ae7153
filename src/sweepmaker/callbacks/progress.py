"""What a person sees while it trains: a bar on a terminal, one plain line an epoch elsewhere."""

from __future__ import annotations

import sys
import time

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, RichProgressBar
from torch import Tensor

from sweepmaker.callbacks.lines import EpochMetrics


class EpochLines(EpochMetrics):
    """One line an epoch on stderr: epoch, seconds, metrics."""

    def __init__(self) -> None:
        super().__init__()
        self._start = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.monotonic()

    def show(self, trainer: Trainer, metrics: dict[str, Tensor]) -> None:
        told = "  ".join(f"{name} {float(value):.4g}" for name, value in sorted(metrics.items()))
        seconds = time.monotonic() - self._start
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        print(f"{epoch}  {seconds:.1f} s  {told}", file=sys.stderr, flush=True)


def progress_callback() -> Callback:
    """A progress bar where stderr is a terminal, lines where it is a file or a log."""
    if sys.stderr.isatty():
        return RichProgressBar(console_kwargs={"stderr": True}, leave=True)
    return EpochLines()
