"""What people call a folder of classes is understood, or refused with one clear message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.tree import natural_key, walk_tree
from tests.images import class_tree


def refusal(root: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        walk_tree(root)
    assert caught.value.key == "data.root"
    return caught.value


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "Val"])
def test_split_folders(tmp_path: Path, valid: str) -> None:
    tree = walk_tree(class_tree(tmp_path, splits=("train", valid, "test"), images=2))
    assert list(tree.files) == ["train", "valid", "test"]
    assert tree.files["valid"]["cat"] == [f"{valid}/cat/0.jpg", f"{valid}/cat/1.jpg"]


def test_one_tree(tmp_path: Path) -> None:
    tree = walk_tree(class_tree(tmp_path, splits=()))
    assert {split: list(classes) for split, classes in tree.files.items()} == {"train": ["cat", "dog"]}


def test_natural_order() -> None:
    names = ["10.b", "9.a", "009.c", "B", "a", "A", "x10", "x9"]
    assert sorted(names, key=natural_key) == ["9.a", "009.c", "10.b", "A", "a", "B", "x9", "x10"]


def test_odd_names_deep_folders_hidden_and_other_files(tmp_path: Path) -> None:
    class_tree(tmp_path, ("Großer Hund", "猫 1"), splits=(), images=1)
    jpeg = (tmp_path / "猫 1" / "0.jpg").read_bytes()
    deep = tmp_path / "猫 1" / "more of them"
    deep.mkdir()
    (deep / "ñandú 2.JPG").write_bytes(jpeg)
    (deep / ".hidden.jpg").write_bytes(jpeg)
    (tmp_path / ".git").mkdir()
    (deep / "notes.txt").write_text("x")
    (deep / "README").write_text("x")
    tree = walk_tree(tmp_path)
    assert list(tree.files["train"]) == ["Großer Hund", "猫 1"]
    assert tree.files["train"]["猫 1"] == ["猫 1/0.jpg", "猫 1/more of them/ñandú 2.JPG"]
    assert tree.ignored == {".txt": 1, "no extension": 1}


def test_no_such_folder(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(tmp_path / "gone").message


def test_no_train(tmp_path: Path) -> None:
    error = refusal(class_tree(tmp_path, splits=("valid", "test"), images=1))
    assert "valid/, test/ but no train/" in error.message


def test_two_names_for_the_same_split(tmp_path: Path) -> None:
    error = refusal(class_tree(tmp_path, splits=("train", "val", "valid"), images=1))
    assert "both val/ and valid/" in error.message


def test_one_class(tmp_path: Path) -> None:
    assert "only one class ('cat')" in refusal(class_tree(tmp_path, ("cat",), images=1)).message


def test_one_folder_too_high(tmp_path: Path) -> None:
    class_tree(tmp_path / "dogImages", images=1)
    assert refusal(tmp_path).fix == f"data.root={tmp_path / 'dogImages'}"


def test_empty_class_folder(tmp_path: Path) -> None:
    class_tree(tmp_path, images=1)
    (tmp_path / "train" / "fish").mkdir()
    assert "'fish'" in refusal(tmp_path).message


def test_no_images_at_all(tmp_path: Path) -> None:
    (tmp_path / "train" / "cat").mkdir(parents=True)
    assert "no images in class folders" in refusal(tmp_path).message
    (tmp_path / "train" / "loose.jpg").write_bytes(b"x")
    assert "no images in class folders" in refusal(tmp_path).message


def test_symlink_loops_end_and_other_links_are_followed(tmp_path: Path) -> None:
    root = class_tree(tmp_path / "data", splits=(), images=1)
    (root / "cat" / "up").symlink_to(root)
    (root / "cat" / "self").symlink_to(root / "cat" / "self")
    (root / "again").symlink_to(root)
    outside = class_tree(tmp_path / "outside", ("fish",), splits=(), images=1)
    (root / "fish").symlink_to(outside / "fish")
    tree = walk_tree(root)
    assert sorted(tree.loops) == ["again", "cat/up"]
    assert tree.files["train"] == {
        "cat": ["cat/0.jpg"],
        "dog": ["dog/0.jpg"],
        "fish": ["fish/0.jpg"],
    }


def test_an_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_tree(tmp_path, splits=(), images=1)
    scan = os.scandir

    def refuse(path: Path) -> object:  # root may read everything, so modes prove nothing
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr("sweepmaker.data.tree.os.scandir", refuse)
    assert "cannot read the folder" in refusal(tmp_path).message


def test_a_class_name_that_is_not_utf8(tmp_path: Path) -> None:
    class_tree(tmp_path, splits=(), images=1)
    os.rename(tmp_path / "cat", os.fsencode(tmp_path) + b"/c\xe4t")  # noqa: PTH104
    assert "c\\xe4t" in refusal(tmp_path).message
