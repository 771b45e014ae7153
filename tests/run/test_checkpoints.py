"""The last checkpoint, the one before, and what is left when a file is broken or the disk is full."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from sweepmaker.config import argv
from sweepmaker.config.errors import UserError
from sweepmaker.run import checkpoints
from sweepmaker.run.checkpoints import EXTRA, FORMAT, LAST, PREVIOUS
from tests.run.disk import small_files


def save(folder: Path, number: int) -> None:
    checkpoints.save(folder, checkpoint(number))


def checkpoint(number: int) -> dict[str, Any]:
    return {"weights": torch.full((5000,), float(number)), EXTRA: {"format": FORMAT, "number": number}}


def latest(folder: Path) -> tuple[str, int]:
    found = checkpoints.load_latest(folder)
    assert found is not None
    path, whole = found
    assert torch.equal(whole["weights"], checkpoint(whole[EXTRA]["number"])["weights"])
    return path.name, whole[EXTRA]["number"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints"


def test_none_yet(folder: Path) -> None:
    assert checkpoints.load_latest(folder) is None
    folder.mkdir(parents=True)
    assert checkpoints.load_latest(folder) is None


def test_the_last_and_the_one_before_are_kept(folder: Path) -> None:
    for number in (1, 2, 3):
        save(folder, number)
        assert latest(folder) == (LAST, number)
    assert names(folder) == [LAST, PREVIOUS]
    (folder / LAST).unlink()
    assert latest(folder) == (PREVIOUS, 2)


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2  # in the tensor's data, which no parser looks at
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


BREAKS = {
    "a flipped bit": flipped,
    "half of it": lambda content: content[: len(content) // 2],
    "the last byte missing": lambda content: content[:-1],
    "nothing": lambda _: b"",
    "zeros": lambda content: bytes(len(content)),
    "something else": lambda _: b"hello",
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_one_is_named_and_passed_over(
    folder: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(folder, 1)
    save(folder, 2)
    (folder / LAST).write_bytes(BREAKS[how]((folder / LAST).read_bytes()))
    with caplog.at_level(logging.WARNING):
        assert latest(folder) == (PREVIOUS, 1)
    assert LAST in caplog.text and "broken" in caplog.text


def test_a_file_of_another_kind_is_passed_over(folder: Path) -> None:
    save(folder, 1)
    save(folder, 2)
    torch.save({"state_dict": {}}, folder / LAST)
    assert latest(folder) == (PREVIOUS, 1)
    torch.save([1, 2], folder / LAST)
    assert latest(folder) == (PREVIOUS, 1)
    torch.save({EXTRA: {"format": FORMAT + 1}}, folder / LAST)  # of a later version
    assert latest(folder) == (PREVIOUS, 1)


def test_a_pickle_with_code_is_not_run(folder: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run it",)

    save(folder, 1)
    save(folder, 2)
    torch.save({EXTRA: {"format": FORMAT}, "evil": Evil()}, folder / LAST)
    assert latest(folder) == (PREVIOUS, 1)
    assert not (tmp_path / "run it").exists()


def test_all_broken_is_an_error_that_names_the_folder(folder: Path) -> None:
    save(folder, 1)
    save(folder, 2)
    for name in (LAST, PREVIOUS):
        (folder / name).write_bytes(b"")
    with pytest.raises(UserError) as error:
        checkpoints.load_latest(folder)
    assert str(folder) in str(error.value)
    assert error.value.exit_code == 1


@pytest.mark.parametrize("room", [0, 100, 10_000])
def test_a_full_disk_is_said_and_both_are_as_they_were(folder: Path, room: int) -> None:
    save(folder, 1)
    save(folder, 2)
    with small_files(room), pytest.raises(UserError) as error:
        save(folder, 3)
    assert f"resume={folder.parent}" in str(error.value)
    assert error.value.exit_code == 1
    assert names(folder) == [LAST, PREVIOUS]
    assert latest(folder) == (LAST, 2)
    save(folder, 3)
    assert latest(folder) == (LAST, 3)


def test_the_line_to_paste_is_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "it's a run, (1)" / "checkpoints"
    with small_files(0), pytest.raises(UserError) as error:
        save(folder, 1)
    assert error.value.fix is not None
    words = shlex.split(error.value.fix.partition("python train.py ")[2])
    folder.parent.joinpath(".hydra").mkdir()
    folder.parent.joinpath(".hydra", "overrides.yaml").write_text("[]")
    assert f"hydra.run.dir={argv.quote(str(folder.parent))}" in argv.prepare(["train.py", *words])


def test_a_full_disk_names_the_best_checkpoint_too(folder: Path) -> None:
    folder.mkdir(parents=True)
    with small_files(100), pytest.raises(UserError) as error:
        checkpoints.PlainCheckpoints(folder.parent).save_checkpoint(checkpoint(1), folder / "best-001.ckpt")
    assert f"could not write {folder / 'best-001.ckpt'}" in str(error.value)
    assert f"resume={folder.parent}" in str(error.value)
    assert names(folder) == []


def test_killed_between_the_two_renames(folder: Path) -> None:
    save(folder, 1)
    save(folder, 2)
    # last became previous, next is whole but not yet last
    torch.save(checkpoint(3), folder / "next.ckpt")
    (folder / LAST).replace(folder / PREVIOUS)
    assert latest(folder) == ("next.ckpt", 3)
    save(folder, 4)
    assert latest(folder) == (LAST, 4)
    assert "next.ckpt" not in names(folder)


def test_killed_before_the_first_rename(folder: Path) -> None:
    save(folder, 1)
    torch.save(checkpoint(2), folder / "next.ckpt")
    assert latest(folder) == ("next.ckpt", 2)
    save(folder, 3)
    assert latest(folder) == (LAST, 3)


def test_what_a_killed_process_began_is_finished(folder: Path) -> None:
    """A run that had nothing left to train would never write last.ckpt again."""
    checkpoints.settle(folder)  # nothing there: nothing to do
    save(folder, 1)
    save(folder, 2)
    torch.save(checkpoint(3), folder / "next.ckpt")
    (folder / LAST).replace(folder / PREVIOUS)
    checkpoints.settle(folder)
    assert latest(folder) == (LAST, 3)
    torch.save(checkpoint(4), folder / "next.ckpt")  # killed one step earlier
    checkpoints.settle(folder)
    assert latest(folder) == (LAST, 4) and names(folder) == [LAST, PREVIOUS]


def test_what_a_kill_left_half_written_is_not_looked_at(folder: Path) -> None:
    save(folder, 1)
    (folder / ".next.ckpt.abc.tmp").write_bytes(b"half")
    assert latest(folder) == (LAST, 1)
