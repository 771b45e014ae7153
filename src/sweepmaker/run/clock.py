"""How fast a run trained and how long it waited for data: two clocks that cost nothing to keep."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import Profiler

_FETCH = "train_dataloader_next"
_NOTHING = nullcontext()


class DataWait(Profiler):
    """A Lightning profiler that only adds up the time in which training waited for its next batch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._since = 0.0

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Lightning asks about sixty times a step; what is not timed costs next to nothing."""
        return super().profile(action_name) if action_name.endswith(_FETCH) else _NOTHING

    def start(self, action_name: str) -> None:
        if action_name.endswith(_FETCH):
            self._since = time.perf_counter()

    def stop(self, action_name: str) -> None:
        if action_name.endswith(_FETCH):
            self.seconds += time.perf_counter() - self._since

    def describe(self) -> None:
        """Nothing to print: the figure goes to run.json."""


class FitClock(Callback):
    """Time spent in training epochs, validation not counted, and the images seen in it.

    Args:
        wait: the profiler that the trainer was given, or None where the user gave another.
    """

    def __init__(self, wait: DataWait | None) -> None:
        self._wait = wait
        self._images = 0
        self._validation = 0.0
        self._since = 0.0
        self._start: float | None = None
        self._end: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        first = batch[0] if isinstance(batch, list | tuple) and batch else batch
        self._images += len(first) * trainer.world_size if hasattr(first, "__len__") else 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._since = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation += time.perf_counter() - self._since

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._end = time.perf_counter()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._end = time.perf_counter()

    def as_dict(self, earlier_fit_seconds: float) -> dict[str, float | None]:
        """``fit_seconds`` (this and earlier processes), ``images_per_second``, ``data_wait_fraction``."""
        if self._start is None:
            return {"fit_seconds": earlier_fit_seconds}
        fit = (self._end or time.perf_counter()) - self._start
        training = fit - self._validation
        if not self._images or training <= 0:
            return {"fit_seconds": earlier_fit_seconds + fit}
        return {
            "fit_seconds": round(earlier_fit_seconds + fit, 3),
            "images_per_second": round(self._images / training, 3),
            "data_wait_fraction": round(self._wait.seconds / training, 4) if self._wait else None,
        }
