"""Interruption and exact resume: what a checkpoint must hold so that nothing shows the break.

On one CPU with the same number of threads, a run that was ended by a signal or killed, and started
again, has the weights and metrics of one that was never interrupted, bit for bit.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from lightning.pytorch.profilers import Profiler

from sweepmaker.models.frozen import Frozen
from sweepmaker.run import checkpoints, epoch_sums, interrupt, position, rng
from sweepmaker.run.csv_logger import MetricsCSV


class ResumeCheckpoint(Checkpoint):
    """Saves at the start of every epoch, every so many minutes, and when a signal asks for an end.

    Args:
        dirpath: the run's ``checkpoints`` folder.
        every_n_minutes: also save within an epoch that takes longer than this; 0 for never.
    """

    def __init__(self, dirpath: str, every_n_minutes: float = 10.0) -> None:
        self._folder = Path(dirpath)
        self._interval_s = every_n_minutes * 60 if every_n_minutes else float("inf")
        self._saved_at = time.monotonic()
        self._epoch_rng: dict[str, Any] = {}
        self._snapshot: dict[str, Any] = {}
        self._sums: dict[str, Any] | None = None  # to be restored
        self._frozen: Frozen | None = None
        self._batch_due = False
        self._counts_again = False
        self._resuming: dict[str, Any] | None = None
        self._loader_is_ready = True  # the first epoch of a process: its loader was iterated before

    # --- resuming

    # Both hooks come before the loaders are made, which happens as soon as a learning-rate schedule
    # asks for the number of steps: a shuffling loader draws its order when it is iterated.

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._epoch_rng = rng.capture()
        self._frozen = checkpoints.frozen_of(trainer)

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        state = checkpoint.get(checkpoints.EXTRA)
        if state is None or trainer.state.fn != "fit":
            return
        self._resuming = state
        datamodule: Any = getattr(trainer, "datamodule", None)
        if hasattr(datamodule, "position"):
            datamodule.position = (state["epoch"], state["batch"])
        self._epoch_rng = state["epoch_rng"]
        rng.restore(self._epoch_rng)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._resuming is not None and self._resuming["place"] == "finished":
            trainer.should_stop = True  # by early stopping, say: Lightning does not keep that

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        interrupt.install()  # Lightning put its own handler in place since
        interrupt.raise_if_requested()
        self._saved_at = time.monotonic()
        state, self._resuming = self._resuming, None
        for logger in trainer.loggers:
            if isinstance(logger, MetricsCSV):
                # without a checkpoint: a process killed in the first epoch may have left rows
                logger.truncate(0 if state is None else state["rows"])
        if state is None:
            return
        self._sums = state["sums"]
        if state["place"] == "epoch":
            # with max_steps Lightning takes every checkpoint for one from within an epoch
            trainer.fit_loop.epoch_loop.restarting = False
            trainer.fit_loop._restarting = False
        if state["place"] in ("batch", "validation"):
            self._loader_is_ready = False  # that epoch goes on; the next one it hears of is another
            finds_its_place = hasattr(getattr(trainer, "datamodule", None), "position")
            if not finds_its_place and state["batch"] < trainer.num_training_batches:
                _skip(trainer, state["batch"])
            # or Lightning takes the next batch for the first of the epoch, and empties the sums
            trainer._logger_connector._first_loop_iter = False
            rng.restore(state["rng"])
            self._snapshot = {"rng": state["rng"], "sums": state["sums"]}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_sums(trainer, pl_module)

    def _restore_sums(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once, as late as can be: modules like to reset their metrics when training starts."""
        if self._sums is not None:
            epoch_sums.restore(trainer, pl_module, self._sums)
            self._sums = None

    # --- saving

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore_sums(trainer, pl_module)
        self._take_snapshot(trainer, pl_module)
        self._batch_due = self._counts_again = False
        if not self._loader_is_ready:
            self._epoch_rng = rng.capture()
            self._save(trainer, "epoch", 0)
        self._loader_is_ready = False
        interrupt.raise_if_requested()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._restore_sums(trainer, pl_module)
        if self._batch_due:
            self._save(trainer, "batch", batch_idx)
            interrupt.raise_if_requested()
        self._batch_due = self._counts_again = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._counts_again = False
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        before_validation = trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
        due = self._asked(trainer) or time.monotonic() - self._saved_at > self._interval_s
        last = batch_idx + 1 >= trainer.num_training_batches
        self._snapshot = {}
        if due or before_validation or last:
            # now, not when it is saved: fetching the next batch may draw from the global generators
            self._take_snapshot(trainer, pl_module)
        self._batch_due = due and not before_validation and not last

    def on_validation_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or not self._asked(trainer):
            return
        averages = any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks)  # type: ignore[attr-defined]
        # during a validation those have put their weights in the place of the trained ones
        if self._snapshot and not averages:  # else nobody knew that it would come: wait for its end
            self._save(trainer, "validation", trainer.fit_loop.epoch_loop.batch_progress.current.ready)
            interrupt.raise_if_requested()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            # validation in the middle of an epoch: what comes next starts from here
            self._take_snapshot(trainer, pl_module)
            self._counts_again = not trainer.fit_loop._should_accumulate()
            self._batch_due = self._asked(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # or Lightning leaves ReduceLROnPlateau out in a resumed epoch, for want of the metrics we restored
        trainer.fit_loop._restarting = False

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._take_snapshot(trainer, pl_module)
        self._save(trainer, "finished", 0)

    def _take_snapshot(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._snapshot = {"rng": rng.capture(), "sums": epoch_sums.capture(trainer, pl_module)}

    def _save(self, trainer: Trainer, place: str, batch: int) -> None:
        profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
        with profiler.profile("save_checkpoint"):  # the name that Lightning gives its own
            self._write(trainer, place, batch)
        self._saved_at = time.monotonic()

    def _write(self, trainer: Trainer, place: str, batch: int) -> None:
        csv = next((logger for logger in trainer.loggers if isinstance(logger, MetricsCSV)), None)
        if csv is not None:
            csv.flush()
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        epoch = trainer.current_epoch
        if place == "epoch":
            position.at_epoch_start(checkpoint["loops"], epoch)
        elif place == "batch":
            position.at_batch(checkpoint["loops"], batch, counts_again=self._counts_again)
        elif place == "validation":
            position.before_validation(checkpoint["loops"])
        checkpoint[checkpoints.EXTRA] = {
            "format": checkpoints.FORMAT,
            "place": place,
            "epoch": epoch,
            "batch": batch,
            "epoch_rng": self._epoch_rng,
            "rows": csv.rows if csv is not None else 0,
            **self._snapshot,
        }
        if trainer.is_global_zero:
            checkpoints.save(self._folder, checkpoint, None if place == "finished" else self._frozen)
        trainer.strategy.barrier("resume checkpoint")

    def _asked(self, trainer: Trainer) -> bool:
        """Whether any process of this run was asked to end; all of them must agree on the batch."""
        asked = interrupt.requested() is not None
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
            if asked:
                interrupt.request()
        return asked


def _skip(trainer: Trainer, batches: int) -> None:
    """Draw and drop what the first part of the epoch used: any loader, at the price of loading it."""
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    source = fetcher if fetcher.length is None else fetcher.iterator
    assert source is not None
    for _ in range(batches):
        next(source)
