"""What the rules are told of a run decides which words they may recommend."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader

from sweepmaker.data.features import FeatureDataset
from sweepmaker.profiler import facts
from tests.profiler.planted import Data, Points
from tests.profiler.recorded import CONF

OWN = ("data=own", "data._target_=tests.profiler.planted.Data")


def known(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    """Facts of a run with these overrides, its trainer and data really built."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides)
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, default_root_dir=tmp_path, barebones=True)
    return facts.of_run(cfg, trainer, instantiate(cfg.data), 1)


@pytest.mark.parametrize(
    ("overrides", "unknown"),
    [
        (("data=folder", "data.root=."), set()),
        ((), {"data.cache"}),  # the digits are no files to decode
        (("data=fashion_mnist", "data.root=."), {"data.cache"}),  # nor are these, though they have a root
        (("data=folder", "data.root=.", "data.batch_size=3"), {"batch_size"}),  # has no say any more
        (OWN, {"batch_size", "data.num_workers", "data.cache"}),
        ((*OWN, "+data.num_workers=0", "+data.batch_size=${batch_size}"), {"data.cache"}),
    ],
    ids=lambda value: " ".join(sorted(value)),  # the same in every process, unlike a set's own text
)
def test_only_words_that_mean_something_are_known(
    overrides: tuple[str, ...], unknown: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    every = {"batch_size", "data.num_workers", "data.cache", "trainer.threads",
             "trainer.check_val_every_n_epoch"}  # fmt: skip
    found = known(tmp_path, *overrides)
    assert set(found["keys"]) == every - unknown
    assert found["files"] == ("data=folder" in overrides) and found["processes"] == 1


@pytest.mark.parametrize(
    ("devices", "variables", "whole"),
    [(1, {}, True), (2, {}, True), (2, {"TORCHELASTIC_RUN_ID": "x", "LOCAL_RANK": "0"}, False)],
    ids=["one process", "Lightning's own", "torchrun's"],
)
def test_processes_that_somebody_else_started_are_not_seen(
    devices: int, variables: dict[str, str], whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = {"RANK": "0", "WORLD_SIZE": str(devices), "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": str(devices)}
    for name, value in (around | variables if variables else {}).items():
        monkeypatch.setenv(name, value)
    trainer = Trainer(accelerator="cpu", devices=devices, barebones=True, default_root_dir=tmp_path)
    assert facts.whole_here(trainer) is whole


def test_a_loader_of_features_is_known_as_one() -> None:
    features = FeatureDataset(torch.zeros(1, 6, 4), torch.zeros(6, dtype=torch.int64))
    with initialize_config_dir(str(CONF), version_base="1.3"):
        ours, theirs = instantiate(compose("train").data), Data()
    for data, dataset, batches, expected in (
        (ours, features, 3, True),
        (ours, Points(6, 0.0), 3, False),
        (theirs, features, 3, False),  # whatever they call so
        (theirs, Points(6, 0.0), math.inf, False),
    ):
        trainer: Any = SimpleNamespace(
            datamodule=data, train_dataloader=DataLoader(dataset, 2), num_training_batches=batches,
            accumulate_grad_batches=2,
        )  # fmt: skip
        found = facts.of_loader(trainer)
        assert found["features"] is expected and found["loader_num_workers"] == 0
        assert found["steps_per_epoch"] == (2 if batches == 3 else None)
