"""A run that is broken off and continued equals one that never was, bit for bit: the whole matrix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from sklearn.datasets import load_digits

from sweepmaker.callbacks import AveragedWeights, Objective
from sweepmaker.run import checkpoints
from tests.integration import own_code
from tests.run.fits import Fit, Moment, differences, result
from tests.run.nets import BATCHES, Everything, Manual, Net, Pictures, Positioned, Small, Unsized

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:.*(Checkpoint directory|ModelCheckpoint|max_epochs).*:UserWarning"),
]


def stopping() -> list[Any]:
    return [EarlyStopping("valid/loss", patience=1, min_delta=10.0)]


def stopping_midway() -> list[Any]:
    return [EarlyStopping("valid/loss", patience=1, min_delta=10.0, check_on_train_epoch_end=False)]


def averaging() -> list[Any]:
    return [AveragedWeights(decay=0.6)]


FITS = {
    "plain": Fit(),
    "all ways to sum": Fit(module=Everything),
    "validation twice an epoch": Fit(module=Everything, trainer={"val_check_interval": 0.5}),
    "validation after each batch": Fit(trainer={"val_check_interval": 1, "limit_val_batches": 1}),
    "validation every 3 batches over epochs": Fit(
        trainer={"val_check_interval": 3, "check_val_every_n_epoch": None}
    ),
    "validation every second epoch": Fit(epochs=3, trainer={"check_val_every_n_epoch": 2}),
    "no validation": Fit(objective="train/mean", trainer={"limit_val_batches": 0}),
    "accumulated gradients": Fit(trainer={"accumulate_grad_batches": 2}),
    "accumulated gradients across a validation": Fit(
        trainer={"accumulate_grad_batches": 3, "val_check_interval": 0.5}
    ),
    "plateau": Fit(module=lambda: Net("plateau"), epochs=3),
    "plateau of a training metric": Fit(module=lambda: Net("plateau_train")),
    "schedule by epoch": Fit(module=lambda: Net("epochs")),
    "one cycle": Fit(module=lambda: Net("one_cycle")),
    "one cycle, accumulated": Fit(module=lambda: Net("one_cycle"), trainer={"accumulate_grad_batches": 2}),
    "early stopping": Fit(callbacks=stopping, epochs=4),
    "early stopping within an epoch": Fit(
        callbacks=stopping_midway, epochs=4, trainer={"val_check_interval": 0.5}
    ),
    "max_steps": Fit(trainer={"max_steps": 8}),
    "sanity checks": Fit(trainer={"num_sanity_val_steps": 2}),
    "loader made anew": Fit(trainer={"reload_dataloaders_every_n_epochs": 1}),
    "loader without length": Fit(data=Unsized),
    "loader that finds its place": Fit(data=Positioned),
    "loader that finds its place, half": Fit(data=Positioned, trainer={"val_check_interval": 0.5}),
    "manual optimization": Fit(module=Manual),
    "clipped gradients": Fit(trainer={"gradient_clip_val": 0.1, "accumulate_grad_batches": 2}),
    "averaged weights": Fit(callbacks=averaging),
    "averaged weights, validation twice an epoch": Fit(
        callbacks=averaging, trainer={"val_check_interval": 0.5}
    ),
    "frozen backbone": Fit(module=lambda: Small("head"), data=Pictures),
    "frozen blocks": Fit(module=lambda: Small("blocks"), data=Pictures),
    "head first": Fit(module=lambda: Small("gradual"), data=Pictures),
    "mixed images": Fit(module=lambda: Small("full", mixup=0.2, cutmix=1.0), data=Pictures),
    "frozen, averaged": Fit(module=lambda: Small("head"), data=Pictures, callbacks=averaging),
    "own code": Fit(
        module=lambda: own_code.OwnModule(lr=0.01, width=8), data=lambda: own_code.OwnData(300),
        objective="val_acc", mode="max",
    ),
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _digits_once() -> Any:
    digits = load_digits()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own_code, "load_digits", lambda: digits)
        yield


def begin(fit: Fit, folder: Path) -> tuple[dict[str, Any], list[Moment]]:
    """What the run gives that nothing breaks off, and the moments at which one could."""
    folder.mkdir()
    moments = fit.run(folder).seen
    return result(folder), moments


@pytest.mark.parametrize("name", FITS)
def test_ended_at_every_moment_in_turn(name: str, tmp_path: Path) -> None:
    fit = FITS[name]
    expected, moments = begin(fit, tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()
    asked: set[Moment] = set()
    while (moment := fit.run(broken, lambda moment: moment not in asked).moment) is not None:
        asked.add(moment)
    # asked for after a validation, the end comes when the next epoch starts; where averaged weights
    # stand in the place of the trained ones during a validation, also when asked for in one
    waits = ("epoch end", "valid batch", "valid end") if "averaged" in name else ("epoch end",)
    assert asked | {moment for moment in moments if moment[0] in waits} == set(moments)
    assert differences(expected, result(broken)) == []


@pytest.mark.parametrize(
    ("name", "every"),
    [("all ways to sum", 2), ("validation twice an epoch", 3), ("own code", 3)],
)
def test_ended_further_on(name: str, every: int, tmp_path: Path) -> None:
    """Each process lives through several batches before it is asked."""
    fit = FITS[name]
    expected, moments = begin(fit, tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()
    asked: set[Moment] = set()
    chosen = set(moments[1::every])
    while (moment := fit.run(broken, lambda moment: moment in chosen - asked).moment) is not None:
        asked.add(moment)
    assert len(asked) >= len(moments) // every - 1
    assert differences(expected, result(broken)) == []


@pytest.mark.parametrize(
    ("name", "minutes"),
    [
        ("all ways to sum", 0),
        ("validation twice an epoch", 1e-9),
        ("accumulated gradients", 1e-9),
        ("early stopping", 0),
    ],
)
def test_killed_at_every_moment_in_turn(name: str, minutes: float, tmp_path: Path) -> None:
    fit = Fit(**{**vars(FITS[name]), "every_n_minutes": minutes})
    expected, moments = begin(fit, tmp_path / "whole")
    assert differences(begin(FITS[name], tmp_path / "unsaved")[0], expected) == [], "saving leaves a trace"
    broken = tmp_path / "broken"
    broken.mkdir()
    killed: set[Moment] = set()
    while (moment := fit.run(broken, lambda m: m not in killed, kill=True).moment) is not None:
        killed.add(moment)
    assert killed == set(moments)
    assert differences(expected, result(broken)) == []


def test_a_broken_checkpoint_costs_only_time(tmp_path: Path) -> None:
    fit = FITS["all ways to sum"]
    expected, _ = begin(fit, tmp_path / "whole")
    broken = tmp_path / "broken"
    broken.mkdir()
    fit.run(broken, lambda moment: moment[:3] == ("batch", 0, 2))
    fit.run(broken, lambda moment: moment[:3] == ("batch", 0, 4))
    (broken / checkpoints.LAST).write_bytes(b"")
    fit.run(broken)
    assert differences(expected, result(broken)) == []


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    fit = FITS["early stopping"]
    expected, moments = begin(fit, tmp_path / "whole")
    assert {moment[1] for moment in moments} == {0, 1}, "it was to stop before its last epoch"
    again = fit.run(tmp_path / "whole")
    assert again.seen == []
    assert differences(expected, result(tmp_path / "whole")) == []


def test_no_batch_is_loaded_only_to_be_skipped(tmp_path: Path) -> None:
    fit = FITS["loader that finds its place"]
    fit.run(tmp_path, lambda moment: moment == ("batch", 0, 4, 0))
    Positioned.loaded = 0
    fit.run(tmp_path, lambda moment: moment[0] == "epoch end")
    assert Positioned.loaded == 4 * BATCHES - 1 - 16


def test_state_is_read_without_pickle(tmp_path: Path) -> None:
    FITS["all ways to sum"].run(tmp_path, lambda moment: moment == ("batch", 0, 2, 0))
    saved = torch.load(tmp_path / checkpoints.LAST, weights_only=True)[checkpoints.EXTRA]
    assert (saved["place"], saved["epoch"], saved["batch"]) == ("batch", 0, 2)
    assert saved["sums"]["metrics"]["losses"]["updates"] == 2


def test_objective_survives(tmp_path: Path) -> None:
    fit = FITS["plain"]
    fit.run(tmp_path, lambda moment: moment == ("batch", 1, 1, 0))
    states = torch.load(tmp_path / checkpoints.LAST, weights_only=True)["callbacks"]
    before = states[Objective("valid/loss", "min").state_key]
    assert before["epoch"] == 0 and before["best"] > 0
