"""Runs that are interrupted, killed and continued end like runs that never were, bit for bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.integration.runs import (
    SIGINT,
    SIGKILL,
    SIGTERM,
    TINY,
    assert_equal_runs,
    kill_when,
    survive,
    train,
    train_and_signal,
)  # fmt: skip

ARGUMENTS = [*TINY, "epochs=3"]
OWN = [
    "model=own", "model._target_=tests.integration.own_code.OwnModule", "+model.lr=0.01",
    "data=own", "data._target_=tests.integration.own_code.OwnData", "+data.batch_size=50",
    "objective.name=val_acc", "epochs=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference") / "run"
    ended = train(*ARGUMENTS, f"hydra.run.dir={folder}")
    assert ended.code == 0, ended.err
    return folder


def test_sigterm_in_an_epoch_then_resume(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    # after the first epoch's line: somewhere in the second epoch
    first = train_and_signal([*ARGUMENTS, f"hydra.run.dir={folder}"], SIGTERM, 8, 0.3, tmp_path)
    assert first.code == 143, first.err
    record = json.loads((folder / "run.json").read_text())
    assert record["state"] == "interrupted"
    assert f"resume={folder}" in first.err
    ended = train(f"resume={folder}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert "continuing from last.ckpt" in ended.err
    assert json.loads((folder / "run.json").read_text())["state"] == "completed"
    assert_equal_runs(undisturbed, folder)


@pytest.mark.slow
def test_a_broken_checkpoint_falls_back_to_the_one_before(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    last, previous = folder / "checkpoints" / "last.ckpt", folder / "checkpoints" / "previous.ckpt"
    kill_when(lambda: previous.exists() and last.exists(), [*ARGUMENTS, f"hydra.run.dir={folder}"], tmp_path)
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    last.write_bytes(bytes(content))
    again = train(f"resume={folder}", cwd=tmp_path)
    assert again.code == 0, again.err
    assert "last.ckpt is broken" in again.err and "continuing from previous.ckpt" in again.err
    assert_equal_runs(undisturbed, folder)


def test_a_run_folder_with_a_checkpoint_is_continued_unasked(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    ended = train(*ARGUMENTS, f"hydra.run.dir={folder}")
    assert ended.code == 0 and "nothing to do" in ended.err
    assert_equal_runs(undisturbed, folder)


def test_killed_while_the_last_checkpoint_took_its_place(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    (folder / "checkpoints" / "last.ckpt").replace(folder / "checkpoints" / "next.ckpt")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"state": "interrupted"}))
    ended = train(f"resume={folder}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert_equal_runs(undisturbed, folder)


@pytest.mark.slow
def test_own_code_resumes_too(tmp_path: Path) -> None:
    """A shuffling DataLoader, noise from the global generator, self.log's own averages."""
    reference = tmp_path / "reference"
    assert (ended := train(*OWN, f"hydra.run.dir={reference}")).code == 0, ended.err
    assert "[metric] val_acc_best=" in ended.out
    kept = load_file(reference / "model" / "model.safetensors")
    assert {name.split(".")[0] for name in kept} == {"network", "head"}
    _, broken = survive(tmp_path / "run", OWN, [SIGTERM], seed=3, cwd=tmp_path)
    if broken[0].code == -SIGTERM:  # so short a run may be over: the interpreter itself was ending
        assert "profile: " in broken[0].err.splitlines()[-1]
    else:
        assert broken[0].code in (0, 143)
    assert_equal_runs(reference, tmp_path / "run")


@pytest.mark.parametrize("other", ["epochs=20", "lr=0.5", "model.name=resnet18"])
def test_other_settings_are_refused(other: str, undisturbed: Path, tmp_path: Path) -> None:
    """What the weights and the schedule come from cannot change; the run stays as it was."""
    folder = tmp_path / "run"
    shutil.copytree(undisturbed, folder)
    before = {path: path.read_bytes() for path in (folder / ".hydra").iterdir()}
    for arguments in ([f"resume={folder}", other], [*ARGUMENTS, other, f"hydra.run.dir={folder}"]):
        ended = train(*arguments)
        assert ended.code == 2, ended.err
        assert f"error: {other.split('=')[0]}: was " in ended.err
        assert f"ckpt_path={folder}" in ended.err
    assert {path: path.read_bytes() for path in (folder / ".hydra").iterdir()} == before
    assert_equal_runs(undisturbed, folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_signals_at_random_moments(undisturbed: Path, tmp_path: Path, seed: int) -> None:
    signals = [[SIGTERM, SIGTERM], [SIGKILL, SIGTERM], [SIGINT, SIGKILL]][seed % 3]
    survive(tmp_path / "run", ARGUMENTS, signals, seed, tmp_path)
    assert_equal_runs(undisturbed, tmp_path / "run")


@pytest.mark.accept
@pytest.mark.parametrize("seed", range(100, 150))
def test_many_signals_at_random_moments(undisturbed: Path, tmp_path: Path, seed: int) -> None:
    signals = [[SIGTERM] * 3, [SIGKILL] * 3, [SIGTERM, SIGKILL, SIGINT]][seed % 3]
    survive(tmp_path / "run", ARGUMENTS, signals, seed, tmp_path)
    assert_equal_runs(undisturbed, tmp_path / "run")
