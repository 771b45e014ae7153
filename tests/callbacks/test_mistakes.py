"""The images that a model was wrong about: which, how sure, and their picture."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from sweepmaker.callbacks.mistakes import Mistakes
from sweepmaker.data import ImageDataModule

NAMES = [str(number) for number in range(10)]


def followed(logits: torch.Tensor, labels: torch.Tensor, batch: int = 32, world_size: int = 1) -> Mistakes:
    """A callback that has seen these logits in batches."""
    mistakes = Mistakes()
    trainer: Any = SimpleNamespace(world_size=world_size)
    for number, start in enumerate(range(0, len(labels), batch)):
        part = slice(start, start + batch)
        mistakes.on_test_batch_end(trainer, None, logits[part], (logits[part], labels[part]), number)  # type: ignore[arg-type]
    return mistakes


@pytest.fixture(scope="module")
def digits() -> ImageDataModule:
    data = ImageDataModule(source="digits", image_size=16, batch_size=32, seed=0,
                           splits={"valid": 0.1, "test": 0.1})  # fmt: skip
    data.setup("fit")
    return data


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_the_most_confident_come_first_with_their_own_image(digits: ImageDataModule, tmp_path: Path) -> None:
    torch.manual_seed(0)
    dataset = digits.dataset("test")
    labels = torch.tensor([label for _, label in (dataset[i] for i in range(len(dataset)))])
    logits = torch.randn(len(labels), 10)
    followed(logits, labels).write(tmp_path, "test", digits, NAMES)
    shares, predicted = logits.softmax(dim=1).max(dim=1)
    wrong = [i for i in shares.argsort(descending=True).tolist() if predicted[i] != labels[i]][:24]
    found = rows(tmp_path / "mistakes_test.csv")
    assert [row["image"] for row in found] == [digits.source.item_name(int(dataset.items[i])) for i in wrong]
    assert [row["label"] for row in found] == [str(int(labels[i])) for i in wrong]
    assert [row["prediction"] for row in found] == [str(int(predicted[i])) for i in wrong]
    assert [float(row["confidence"]) for row in found] == pytest.approx([float(shares[i]) for i in wrong])
    with Image.open(tmp_path / "mistakes_test.png") as sheet:
        assert sheet.size == (512, 192)
        tile = sheet.crop((64, 0, 128, 64))
    expected = Image.fromarray(dataset[wrong[1]][0].permute(1, 2, 0).numpy()).resize((64, 64))
    assert tile.tobytes() == expected.convert("RGB").tobytes()


def test_nothing_wrong_is_an_empty_table_and_no_picture(digits: ImageDataModule, tmp_path: Path) -> None:
    (tmp_path / "mistakes_test.png").write_bytes(b"of an earlier test")
    labels = torch.arange(10)
    followed(torch.eye(10), labels).write(tmp_path, "test", digits, NAMES)
    assert rows(tmp_path / "mistakes_test.csv") == []
    assert not (tmp_path / "mistakes_test.png").exists()


def test_data_of_the_users_own_are_named_by_their_number(tmp_path: Path) -> None:
    followed(torch.eye(3), torch.tensor([0, 2, 2])).write(tmp_path, "test", object(), ["a", "b", "c"])
    (row,) = rows(tmp_path / "mistakes_test.csv")
    assert (row["image"], row["label"], row["prediction"], row["tile"]) == ("1", "c", "b", "")


@pytest.mark.parametrize("outputs", [None, torch.zeros(3), torch.zeros(2, 3), {"loss": 1}])
def test_what_are_no_logits_is_left_alone(outputs: Any, tmp_path: Path) -> None:
    mistakes = Mistakes()
    trainer: Any = SimpleNamespace(world_size=1)
    mistakes.on_test_batch_end(trainer, None, outputs, (torch.zeros(3, 2), torch.zeros(3)), 0)  # type: ignore[arg-type]
    mistakes.write(tmp_path, "test", None, [])
    assert list(tmp_path.iterdir()) == []


def test_several_processes_see_their_own_part_only_so_nothing_is_kept(tmp_path: Path) -> None:
    followed(torch.eye(3), torch.tensor([0, 2, 2]), world_size=2).write(tmp_path, "test", None, [])
    assert list(tmp_path.iterdir()) == []
