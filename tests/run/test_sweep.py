"""How many runs a sweep has, as the command line in its folder says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from sweepmaker.run.sweep import runs_at_once

BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def sweep(folder: Path, lines: list[str], target: str = BASIC, **sweeper: Any) -> Path:
    hydra = {"sweeper": {"_target_": target, **sweeper}, "overrides": {"task": lines}}
    OmegaConf.save(OmegaConf.create({"lr": 1, "hydra": hydra}), folder / "multirun.yaml")
    return folder


@pytest.mark.parametrize(
    ("lines", "runs"),
    [
        ([], 1),
        (["lr=1"], 1),
        (["lr=1e-3,3e-3", "epochs=1"], 2),
        (["lr=1e-3,3e-3", "batch_size=8,16,32"], 6),
        (["lr=1,2", "lr=1,2,3"], 3),  # the last one counts
        (["seed=range(5)", "model.name=choice(a,b)"], 10),
        (["data.stats={mean:[1,2,3],std:[1,2,3]}", "data.augment.crop_scale=[0.1,1]"], 1),
        (["~callbacks.resume", "+custom.x='a,b'"], 1),
        (["+experiment=b2,head"], 2),
        (["+experiment=glob(*)"], None),
    ],
)
def test_as_many_as_there_are_combinations(lines: list[str], runs: int | None, tmp_path: Path) -> None:
    assert runs_at_once(sweep(tmp_path, lines)) == runs


def test_what_the_config_sweeps_counts_too(tmp_path: Path) -> None:
    assert runs_at_once(sweep(tmp_path, ["lr=1,2"], params={"seed": "1,2,3"}, max_batch_size=None)) == 6


def test_batches_are_run_one_after_the_other(tmp_path: Path) -> None:
    assert runs_at_once(sweep(tmp_path, ["lr=1,2,3"], max_batch_size=2)) == 2
    assert runs_at_once(sweep(tmp_path, ["lr=1,2,3"], max_batch_size=20)) == 3


def test_what_is_not_known(tmp_path: Path) -> None:
    assert runs_at_once(tmp_path) is None
    assert runs_at_once(sweep(tmp_path, ["lr=1,2"], target="my.Sweeper")) is None
    (tmp_path / "multirun.yaml").write_text("lr: 1")
    assert runs_at_once(tmp_path) is None
