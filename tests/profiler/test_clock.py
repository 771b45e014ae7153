"""The step clock under a real Trainer: every second of training belongs to one phase."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import SimpleProfiler
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from sweepmaker.profiler.clock import NO_STEP, StepClock, images_in
from sweepmaker.profiler.phases import PHASES, UNUSUAL, Phases, phase_of

NAP = 0.05


class Slow(Dataset[Tensor]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, place: int) -> Tensor:
        time.sleep(NAP / 2)
        return torch.ones(3)


class Net(LightningModule):
    def __init__(self, where: str, *, manual: bool = False) -> None:
        super().__init__()
        self.where = where
        self.automatic_optimization = not manual
        self.layer = nn.Linear(3, 1)

    def nap(self, where: str) -> None:
        if self.where == where:
            time.sleep(NAP)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.nap("forward")
        loss = self.layer(batch).sum()
        if not self.automatic_optimization:
            self.manual_backward(loss)
            self.optimizers().step()  # type: ignore[union-attr]
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.nap("validation")

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.nap("optimizer")

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.nap("backward")
        super().backward(loss, *args, **kwargs)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        if self.trainer.training:
            self.nap("transfer")
        return batch

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Dear(Callback):
    def __init__(self, where: str) -> None:
        self.where = where

    def on_train_batch_end(self, *_: Any) -> None:
        if self.where == "callbacks":
            time.sleep(NAP)


def fit(
    folder: Path,
    where: str,
    profiler: Any = None,
    interval: float = 1.0,
    together: int = 1,
    also: Callback | None = None,
    **more: Any,
) -> tuple[StepClock, Trainer, float]:
    phases = Phases()
    clock = StepClock(phases, keep=True)
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=1, default_root_dir=folder, 
        callbacks=[clock, Dear(where), also or Callback()],
        enable_checkpointing=False, profiler=profiler or phases, val_check_interval=interval,
        accumulate_grad_batches=together,
    )  # fmt: skip
    phases.listen_to(trainer.profiler)  # type: ignore[attr-defined]
    data: Any = Slow() if where == "data_wait" else [torch.ones(3)] * 8
    began = time.perf_counter()
    trainer.fit(
        Net(where, **more), DataLoader(data, batch_size=2), DataLoader([torch.ones(3)] * 8, batch_size=2)
    )
    return clock, trainer, time.perf_counter() - began


@pytest.mark.parametrize("where", [phase for phase in PHASES if phase not in ("loop", "checkpoint")])
@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_time_is_found_where_it_was_spent(where: str, tmp_path: Path) -> None:
    clock, _, wall = fit(tmp_path, where)
    split = dict(zip(PHASES, clock.training, strict=True))
    assert split[where] >= 4 * NAP * 0.95
    assert max(split, key=lambda phase: split[phase]) == where, split
    assert sum(split.values()) <= wall
    rows = clock.drain()
    assert [row[1] for row in rows] == [2, 2, 2, 2, NO_STEP] and clock.images == 8
    assert [row[2] for row in rows[:4]] == [True, False, False, False]
    assert clock.drain() == []
    timing = clock.as_dict(10.0)
    fitted = float(timing["fit_seconds"] or 0) - 10
    assert sum(split.values()) == pytest.approx(fitted, abs=0.01)
    rest = fitted - split["validation"] - split["checkpoint"]
    assert 8 / float(timing["images_per_second"] or 0) == pytest.approx(rest, abs=0.01)
    assert timing["data_wait_fraction"] == pytest.approx(split["data_wait"] / rest, rel=0.2, abs=0.01)


@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_with_manual_optimization_all_is_forward(tmp_path: Path) -> None:
    """Lightning does not tell its profiler of what a training_step does itself."""
    clock, _, _ = fit(tmp_path, "forward", manual=True)
    split = dict(zip(PHASES, clock.training, strict=True))
    assert split["forward"] >= 4 * NAP * 0.95 and split["backward"] == split["optimizer"] == 0


@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_lightnings_own_profiler_works_beside(tmp_path: Path) -> None:
    theirs = SimpleProfiler()
    clock, trainer, _ = fit(tmp_path, "forward", profiler=theirs)
    assert trainer.profiler is theirs  # type: ignore[attr-defined]
    assert "training_step" in theirs.summary()
    assert clock.training[PHASES.index("forward")] >= 4 * NAP * 0.95


def test_a_profiler_that_is_stopped_without_a_start_stays_whole() -> None:
    phases = Phases()
    phases.stop("save_checkpoint")
    phases.begin()
    phases.start("save_checkpoint")
    phases.end()
    phases.stop("save_checkpoint")
    assert phases.totals[PHASES.index("checkpoint")] == 0


def test_without_training_only_the_earlier_seconds_are_told() -> None:
    assert StepClock(Phases()).as_dict(3.0) == {"fit_seconds": 3.0}


@pytest.mark.parametrize(
    ("action", "phase"),
    [
        ("[_TrainingEpochLoop].train_dataloader_next", "data_wait"),
        ("[Strategy]DDPStrategy.training_step", "forward"),
        ("[Callback]Best{'monitor': 'a.b', 'every': None}.on_train_batch_end", "callbacks"),
        ("[Callback]X.on_before_zero_grad", None),
        ("[_EvaluationLoop].val_next", None),
        ("run_training_batch", None),
    ],
)
def test_actions_and_their_phases(action: str, phase: str | None) -> None:
    assert phase_of(action) == (None if phase is None else PHASES.index(phase))


@pytest.mark.parametrize(
    ("batch", "images"),
    [
        (torch.ones(5, 3), 5),
        ((torch.ones(5, 3), torch.ones(4)), 5),
        ({"name": ["a", "b"], "image": torch.ones(2, 3), "label": torch.ones(9)}, 2),
        (({"image": torch.ones(7, 3)}, torch.ones(7)), 7),
        ((torch.tensor(1.0), torch.ones(6)), 6),
        (torch.tensor(1.0), 0),
        (["a", "b"], 0),
        ([], 0),
        (None, 0),
    ],
    ids=str,
)
def test_images_of_a_batch_of_any_form(batch: Any, images: int) -> None:
    assert images_in(batch) == images


@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_a_step_after_a_validation_is_not_like_the_others(tmp_path: Path) -> None:
    """The workers of a validation start before Lightning says that it has begun."""
    clock, _, _ = fit(tmp_path, "validation", interval=2)
    steps = [unusual for _, images, unusual in clock.drain() if images != NO_STEP]
    assert steps == [True, False, True, False]


@pytest.mark.parametrize(("together", "images"), [(2, [4, 4]), (3, [6, 2]), (9, [8])])
@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_batches_whose_gradients_are_gathered_are_one_step(
    together: int, images: list[int], tmp_path: Path
) -> None:
    """Else every step of the optimizer would be an outlier among batches that have none."""
    clock, _, _ = fit(tmp_path, "forward", together=together)
    rows = clock.drain()
    assert [row[1] for row in rows] == [*images, NO_STEP] and clock.images == 8
    forward = PHASES.index("forward")
    for row, count in zip(rows, images, strict=False):
        assert row[0][forward] >= count / 2 * NAP * 0.95
    assert sum(row[0][forward] for row in rows) == pytest.approx(clock.training[forward])


class Telling(Callback):
    def on_train_batch_start(self, trainer: Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 2:
            with trainer.profiler.profile(UNUSUAL):  # type: ignore[attr-defined]
                pass


@pytest.mark.parametrize("theirs", [False, True], ids=["our profiler", "beside the user's own"])
@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_a_step_that_somebody_tells_of_is_not_like_the_others(theirs: bool, tmp_path: Path) -> None:
    clock, _, _ = fit(tmp_path, "forward", profiler=SimpleProfiler() if theirs else None, also=Telling())
    assert [unusual for _, images, unusual in clock.drain() if images != NO_STEP] == [
        True,
        False,
        True,
        False,
    ]
