"""The model artifact: whole or as it was, also where the disk is full."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule
from omegaconf import OmegaConf
from safetensors.torch import load_file

from sweepmaker.config.errors import UserError
from sweepmaker.run import artifact
from tests.run.disk import small_files
from tests.run.nets import Net

CFG = OmegaConf.create({"model": {"_target_": "tests.run.nets.Net"}})


def export(folder: Path, model: Net) -> None:
    artifact.export(folder / "model", model, LightningDataModule(), CFG, None)


def test_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for _ in range(2):
        model = Net()
        export(tmp_path, model)
        kept = load_file(tmp_path / "model" / "model.safetensors")
        assert all(torch.equal(kept[name], value) for name, value in model.state_dict().items())
        assert json.loads((tmp_path / "model" / "model.json").read_text())["schema"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# the weights (whose writer has errors of its own), then the code that is copied
@pytest.mark.parametrize("room", [100, 3000])
def test_a_full_disk_leaves_the_one_before(tmp_path: Path, room: int) -> None:
    first = Net()
    export(tmp_path, first)
    with small_files(room), pytest.raises(UserError) as error:
        export(tmp_path, Net())
    assert str(error.value).startswith(f"could not write {tmp_path / 'model'}: ")
    assert "File too large" in str(error.value)
    assert f"fix: free disk space, then continue with: python train.py resume={tmp_path}" in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    kept = load_file(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in first.state_dict().items())
