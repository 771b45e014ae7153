"""Tiny fits in this process: broken off at any moment, continued in a fresh Trainer, compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from lightning.fabric.utilities import registry
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer, seed_everything
from torch import Tensor

from sweepmaker.callbacks import BestCheckpoint, Objective, ResumeCheckpoint
from sweepmaker.run import checkpoints, interrupt
from sweepmaker.run.csv_logger import MetricsCSV
from tests.run.nets import Net, Shuffled

Moment = tuple[str, int, int, int]  # hook, epoch, batches of the epoch begun, batch of the validation
Choose = Callable[[Moment], bool]


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours runs after it."""


class Breaker(Callback):
    """Asks the process to end, or kills it, at the first moment that ``choose`` wants."""

    def __init__(self, choose: Choose, *, kill: bool) -> None:
        self._choose = choose
        self._kill = kill
        self.moment: Moment | None = None
        self.seen: list[Moment] = []

    def _at(self, hook: str, trainer: Trainer, batch: int = 0) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        begun = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        self.seen.append((hook, trainer.current_epoch, begun, batch))
        if self.moment is None and self._choose(self.seen[-1]):
            self.moment = self.seen[-1]
            if self._kill:
                raise Killed
            interrupt.request()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("batch", trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, module: Any, out: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._at("valid batch", trainer, batch_idx)

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("valid end", trainer)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self._at("epoch start", trainer)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self._at("epoch end", trainer)


def never(_: Moment) -> bool:
    return False


@dataclass
class Fit:
    """One run: how to make its parts anew for each process that works on it."""

    module: Callable[[], LightningModule] = Net
    data: Callable[[], LightningDataModule] = Shuffled
    callbacks: Callable[[], list[Callback]] = list
    objective: str = "valid/loss"
    mode: str = "min"
    epochs: int = 2
    every_n_minutes: float = 0
    trainer: dict[str, Any] = field(default_factory=dict)

    def run(self, folder: Path, choose: Choose = never, *, kill: bool = False) -> Breaker:
        """As one process does it, from the last checkpoint if there is one."""
        interrupt._state.requested = None
        breaker = Breaker(choose, kill=kill)
        seed_everything(7, verbose=False)
        module, data = self.module(), self.data()
        found = checkpoints.load_latest(folder)
        try:
            with interrupt.deferred():
                self._trainer(folder, breaker).fit(
                    module,
                    datamodule=data,
                    ckpt_path=None if found is None else str(found[0]),
                    weights_only=True,
                )
        except (interrupt.Interrupted, Killed):
            assert breaker.moment is not None
        else:
            assert breaker.moment is None, "asked to end, it ended as if nobody had asked"
        finally:
            interrupt._state.requested = None
        return breaker

    def _trainer(self, folder: Path, breaker: Breaker) -> Trainer:
        # looking for plugins of Lightning in all installed packages takes half of a tiny fit
        with mock.patch.object(registry, "entry_points", lambda **_: []):
            return Trainer(
                accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
                logger=MetricsCSV(folder / "metrics.csv"), max_epochs=self.epochs,
                callbacks=[
                    breaker,
                    Objective(self.objective, self.mode),
                    BestCheckpoint(str(folder), self.objective, self.mode),
                    ResumeCheckpoint(str(folder), self.every_n_minutes),
                    *self.callbacks(),
                ],
                **{"num_sanity_val_steps": 0, **self.trainer},
            )  # fmt: skip


def result(folder: Path) -> dict[str, Any]:
    """All that a finished run leaves behind, but the wall time and where it stood."""
    whole = torch.load(folder / "last.ckpt", weights_only=True)
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    states = {}
    for name, state in whole["callbacks"].items():
        # Lightning does not load current_score again, and nothing reads it
        kept = {key: part for key, part in state.items() if key not in ("dirpath", "current_score")}
        states[name] = {key: _relative(part, folder) for key, part in kept.items()}
    return {
        "weights": whole["state_dict"],
        "optimizers": whole["optimizer_states"],
        "schedules": whole["lr_schedulers"],
        "steps": [whole["epoch"], whole["global_step"]],
        "callbacks": states,
        "generators": whole[checkpoints.EXTRA]["rng"],
        "sums": whole[checkpoints.EXTRA]["sums"],
        "rows": [[cell for place, cell in enumerate(row) if place != seconds] for row in rows],
        "best": [path.name for path in folder.glob("best-*")],
    }


def _relative(part: Any, folder: Path) -> Any:
    if isinstance(part, dict):
        return {key.replace(str(folder), ""): value for key, value in part.items()}
    return part.replace(str(folder), "") if isinstance(part, str) else part


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Places at which two nested results are not equal, bit for bit."""
    if isinstance(one, Tensor):
        same = isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [f"{where}: {one} != {other}"]
    if isinstance(one, dict) and isinstance(other, dict):
        found = [f"{where}/{key}: only in one" for key in one.keys() ^ other.keys()]
        for key in one.keys() & other.keys():
            found += differences(one[key], other[key], f"{where}/{key}")
        return found
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [
            found
            for place, pair in enumerate(zip(one, other, strict=True))
            for found in differences(*pair, f"{where}/{place}")
        ]
    return [] if one == other else [f"{where}: {one!r} != {other!r}"]
