"""Checkpoints that leave out what never changes, and get it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from sweepmaker.callbacks import BestCheckpoint, Objective
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.models import frozen
from sweepmaker.models.state_dicts import read_state_dict
from sweepmaker.run import checkpoints, evaluation
from tests.run.nets import Pictures, Small

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


@pytest.fixture
def thin(tmp_path: Path) -> tuple[Small, Path]:
    """A module with a frozen backbone and the checkpoint that it would leave in the middle of a run."""
    torch.manual_seed(0)
    module = Small("head")
    saved: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(saved)
    path = tmp_path / "best-001.ckpt"
    checkpoints.PlainCheckpoints().save_checkpoint(saved, path)
    return module, path


def test_holds_the_head_only_and_is_read_as_whole(thin: tuple[Small, Path]) -> None:
    module, path = thin
    alone = torch.load(path, weights_only=True)["state_dict"]
    assert set(alone) == {"network.head.weight", "network.head.bias"}
    whole = checkpoints.read(path)
    assert frozen.KEY not in whole
    assert whole["state_dict"].keys() == module.state_dict().keys()
    other = Small("head")
    evaluation.load_weights(other, str(path))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items())
    read = checkpoints.PlainCheckpoints().load_checkpoint(path)
    assert read["state_dict"].keys() == module.state_dict().keys()


def test_several_checkpoints_share_one_file(thin: tuple[Small, Path]) -> None:
    module, path = thin
    (shared,) = path.parent.glob("frozen-*")
    before = shared.stat().st_mtime_ns
    saved: dict[str, Any] = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(saved)
    checkpoints.PlainCheckpoints().save_checkpoint(saved, path.with_name("best-002.ckpt"))
    assert shared.stat().st_mtime_ns == before
    assert path.stat().st_size < shared.stat().st_size


@pytest.mark.parametrize("harm", ["missing", "cut", "another"])
def test_without_its_other_half_it_is_one_message(
    thin: tuple[Small, Path], harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, path = thin
    (shared,) = path.parent.glob("frozen-*")
    if harm == "missing":
        shared.unlink()
    elif harm == "cut":
        shared.write_bytes(shared.read_bytes()[:100])
    else:
        torch.save({"network.features.0.0.weight": torch.zeros(2)}, shared)
    with pytest.raises(UserError, match="frozen weights"):
        checkpoints.read(path)
    with pytest.raises(ConfigError, match="frozen weights"):
        evaluation.load_weights(Small("head"), str(path))
    with pytest.raises(ConfigError, match="frozen weights"):
        read_state_dict(path)
    path.rename(path.with_name(checkpoints.LAST))
    if harm == "missing":
        assert checkpoints.load_latest(path.parent) is None
        assert "begins anew" in caplog.text and str(path.parent) in caplog.text
        path.with_name(checkpoints.PREVIOUS).write_bytes(b"broken, which is another thing")
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read"):
        checkpoints.load_latest(path.parent)


@pytest.mark.parametrize("mark", ["../../etc/passwd", "", "a/b"])
def test_a_mark_is_no_path(thin: tuple[Small, Path], mark: str) -> None:
    _, path = thin
    saved = torch.load(path, weights_only=True)
    saved[frozen.KEY]["mark"] = mark
    torch.save(saved, path)
    with pytest.raises(UserError, match="is none"):
        checkpoints.read(path)


@pytest.mark.parametrize("finetune", ["head", "blocks", "gradual", "full"])
def test_what_a_run_ends_with_is_whole(finetune: str, tmp_path: Path) -> None:
    module = Small(finetune)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=2,
        callbacks=[Objective("valid/loss", "min"), BestCheckpoint(str(tmp_path), "valid/loss", "min")],
        plugins=[checkpoints.PlainCheckpoints()],
    )  # fmt: skip
    trainer.fit(module, datamodule=Pictures())
    (best,) = tmp_path.glob("best-*.ckpt")
    kept = torch.load(best, weights_only=True)
    assert kept["state_dict"].keys() == module.state_dict().keys() and frozen.KEY not in kept
    assert len(list(tmp_path.glob("frozen-*"))) == (finetune in ("head", "blocks"))
