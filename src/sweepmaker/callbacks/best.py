"""The best weights so far, by Lightning's own ModelCheckpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

from sweepmaker.models.frozen import Frozen
from sweepmaker.run import checkpoints


class BestCheckpoint(ModelCheckpoint):
    """Keeps the weights of the best epoch in ``checkpoints/best-<epoch>.ckpt``.

    The file that a better one supersedes goes only when the next epoch starts, after the resume
    checkpoint was written: a run killed in between goes back to a state that still names the old file.

    Args:
        dirpath: the run's ``checkpoints`` folder.
        monitor: the objective's metric.
        mode: ``max`` or ``min``.
    """

    def __init__(self, dirpath: str, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=dirpath,
            filename="best-{epoch:03d}",
            monitor=monitor,
            mode=mode,
            save_top_k=1,
            save_weights_only=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
        )
        self._frozen: Frozen | None = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the paths for those of the folder as it is now: it may have been moved since."""
        here = Path(self.dirpath or ".")
        moved = {name: str(here / Path(path).name) if path else path
                 for name, path in state_dict.items() if name.endswith("_path")}  # fmt: skip
        best = {str(here / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch:
            self._remove_superseded(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        self._remove_superseded(trainer)
        if trainer.is_global_zero and self.best_model_path:
            checkpoints.make_whole(Path(self.best_model_path))

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """The weights that were validated, which with averaging (``callbacks=ema``) are the averaged ones."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        averaging = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
        for callback in averaging:
            callback._swap_models(trainer.lightning_module)
        try:
            with self._leaving_out(trainer):
                super()._save_checkpoint(trainer, filepath)
        finally:
            for callback in averaging:
                callback._swap_models(trainer.lightning_module)

    def _leaving_out(self, trainer: Trainer) -> AbstractContextManager[None]:
        """While the run trains: a file that others may read is made whole at its end."""
        writer = trainer.strategy.checkpoint_io
        if not isinstance(writer, checkpoints.PlainCheckpoints):
            return nullcontext()
        if self._frozen is None:
            self._frozen = checkpoints.frozen_of(trainer)
        return writer.leaving_out(self._frozen)

    def _remove_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Later: see `_remove_superseded`."""

    def _remove_superseded(self, trainer: Trainer) -> None:
        # by pattern: an earlier process of this run may have been killed before it cleaned up
        for path in Path(self.dirpath or ".").glob("best-*.ckpt"):
            if str(path) != self.best_model_path and trainer.is_global_zero:
                path.unlink(missing_ok=True)
