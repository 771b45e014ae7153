"""The file with the best weights: there at every moment at which a checkpoint names it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from sweepmaker.callbacks import AveragedWeights, BestCheckpoint
from tests.callbacks.trainers import Told, fit
from tests.run.nets import Net, Shuffled

pytestmark = pytest.mark.filterwarnings("ignore:.*(Checkpoint directory|loaded best).*:UserWarning")


class Watch(Callback):
    """Which files there are when an epoch begins and when it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[str, list[str]]] = []

    def _look(self, when: str) -> None:
        self.seen.append((when, files(self.folder)))

    def on_train_batch_end(self, trainer: Trainer, module: Any, out: Any, batch: Any, index: int) -> None:
        if index == 0:
            self._look(f"in {trainer.current_epoch}")

    def on_validation_end(self, trainer: Trainer, module: Any) -> None:
        self._look(f"before the end of {trainer.current_epoch}")

    def on_train_epoch_start(self, trainer: Trainer, module: Any) -> None:
        self._look(f"before {trainer.current_epoch}")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.ckpt"))


def test_the_old_best_stays_until_the_next_epoch(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    best = BestCheckpoint(str(tmp_path), "valid/x", "max")
    fit(Told([0.25, 0.5, 0.375, 0.75]), [watch, best], tmp_path)
    seen = dict(watch.seen)
    assert seen["before 1"] == ["best-000.ckpt"]
    # a better one was found in epoch 1: until epoch 2 has begun, a kill goes back to where 000 is the best
    assert seen["before 2"] == ["best-000.ckpt", "best-001.ckpt"]
    assert seen["in 2"] == ["best-001.ckpt"]
    assert seen["before 3"] == ["best-001.ckpt"]
    assert files(tmp_path) == ["best-003.ckpt"]
    assert Path(best.best_model_path).name == "best-003.ckpt"


@pytest.mark.parametrize(("mode", "kept"), [("max", "best-001.ckpt"), ("min", "best-000.ckpt")])
def test_it_holds_the_weights_of_its_epoch(mode: str, kept: str, tmp_path: Path) -> None:
    best = BestCheckpoint(str(tmp_path), "valid/x", mode)
    fit(Told([0.25, 0.5, 0.375]), [best], tmp_path)
    assert files(tmp_path) == [kept]
    saved = torch.load(tmp_path / kept, weights_only=True)
    assert float(saved["state_dict"]["weight"]) == 2 * (1 + int(kept[5:8]))  # two steps an epoch
    assert "optimizer_states" not in saved


def test_what_a_killed_process_left_is_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / "best-007.ckpt").touch()
    (tmp_path / "last.ckpt").touch()
    fit(Told([0.25, 0.5]), [BestCheckpoint(str(tmp_path), "valid/x", "max")], tmp_path)
    assert files(tmp_path) == ["best-001.ckpt", "last.ckpt"]


@pytest.mark.parametrize("better", [False, True])
def test_a_run_folder_may_be_moved_before_it_is_continued(better: bool, tmp_path: Path) -> None:
    first = BestCheckpoint(str(tmp_path / "here"), "valid/x", "max")
    fit(Told([0.25, 0.5]), [first], tmp_path)
    state = first.state_dict()
    shutil.move(tmp_path / "here", tmp_path / "there")
    second = BestCheckpoint(str(tmp_path / "there"), "valid/x", "max")
    second.load_state_dict(state)
    fit(Told([0.0, 0.125, 0.75 if better else 0.375]), [second], tmp_path)
    kept = "best-002.ckpt" if better else "best-001.ckpt"
    assert files(tmp_path / "there") == [kept]
    assert second.best_model_path == str(tmp_path / "there" / kept)
    assert second.best_model_score == (0.75 if better else 0.5)
    assert not (tmp_path / "here").exists()


def test_keeps_the_averaged_weights_that_were_validated(tmp_path: Path) -> None:
    """Lightning's own would keep the trained ones under the averaged ones' score."""
    seen: list[dict[str, torch.Tensor]] = []

    class Watched(Net):
        def on_validation_epoch_start(self) -> None:
            seen.append({name: value.clone() for name, value in self.state_dict().items()})

    best = BestCheckpoint(str(tmp_path), "valid/loss", "min")
    Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=1,
        num_sanity_val_steps=0, callbacks=[AveragedWeights(decay=0.5), best],
    ).fit(Watched(), datamodule=Shuffled())  # fmt: skip
    saved = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    assert len(seen) == 1
    assert all(torch.equal(value, seen[0][name]) for name, value in saved.items())
