"""Checkpoints that leave out what never changes, and get it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sweepmaker.callbacks import AveragedWeights, BestCheckpoint, Objective
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
    path = tmp_path / "best-001.ckpt"
    save(module, path, frozen.Frozen(module.frozen_names()))
    return module, path


def save(module: Small, path: Path, what: frozen.Frozen) -> None:
    writer = checkpoints.PlainCheckpoints()
    with writer.leaving_out(what):
        writer.save_checkpoint({"state_dict": module.state_dict()}, path)


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
    save(module, path.with_name("best-002.ckpt"), frozen.Frozen(module.frozen_names()))
    assert shared.stat().st_mtime_ns == before
    assert path.stat().st_size < shared.stat().st_size


def test_a_file_that_an_earlier_process_left_broken_is_written_anew(thin: tuple[Small, Path]) -> None:
    module, path = thin
    (shared,) = path.parent.glob("frozen-*")
    shared.write_bytes(shared.read_bytes()[:100])
    save(module, path, frozen.Frozen(module.frozen_names()))
    assert checkpoints.read(path)["state_dict"].keys() == module.state_dict().keys()


def test_what_lacks_a_part_is_saved_as_it_is(tmp_path: Path) -> None:
    """Other processes of a sharded strategy hold a part of the network, or nothing."""
    module = Small("head")
    what = frozen.Frozen(module.frozen_names())
    given: dict[str, Any] = {"state_dict": {}}
    assert what.leave_out(given, tmp_path, lambda path, content: None) is given


@pytest.mark.parametrize("value", [True, 3, {"mark": "a"}, None])
def test_a_key_of_the_same_name_in_a_checkpoint_of_others_is_theirs(value: Any, tmp_path: Path) -> None:
    content = {"state_dict": {}, frozen.KEY: value}
    assert frozen.complete(content, tmp_path) is content


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
    saved[frozen.KEY] = mark
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


@pytest.mark.parametrize("plugins", [[TorchCheckpointIO()], [checkpoints.PlainCheckpoints()]])
def test_files_of_others_are_whole_from_the_beginning(plugins: list[Any], tmp_path: Path) -> None:
    """A writer or a callback of the user's: nobody would put back what is left out."""
    module = Small("head")
    own = ModelCheckpoint(dirpath=tmp_path / "own", save_top_k=-1)
    best = BestCheckpoint(str(tmp_path / "ours"), "valid/loss", "min")
    Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=2,
        callbacks=[Objective("valid/loss", "min"), best, own], plugins=plugins,
    ).fit(module, datamodule=Pictures())  # fmt: skip
    for path in (*(tmp_path / "own").glob("*.ckpt"), Path(best.best_model_path)):
        assert torch.load(path, weights_only=False)["state_dict"].keys() == module.state_dict().keys()
    assert not list((tmp_path / "own").glob("frozen-*"))


def test_averaged_weights_of_a_frozen_backbone_are_the_backbone(tmp_path: Path) -> None:
    module = Small("head")
    before = {name: value.clone() for name, value in module.state_dict().items() if "features" in name}
    best = BestCheckpoint(str(tmp_path), "valid/loss", "min")
    Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=3,
        callbacks=[AveragedWeights(decay=0.7), best], plugins=[checkpoints.PlainCheckpoints()],
    ).fit(module, datamodule=Pictures())  # fmt: skip
    saved = torch.load(best.best_model_path, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in before.items())
