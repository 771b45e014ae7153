"""A folder of class folders, walked: which files, which classes, which splits."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.decode import show

EXTENSIONS = frozenset(
    f".{kind}"
    for kind in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "avif", "jp2"),
    )
)
SPLIT_FOLDERS = {
    "train": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "test": "test",
}


@dataclass
class Tree:
    """What a walk found. ``files[split][class]`` are paths relative to the root."""

    root: Path
    files: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    ignored: Counter[str] = field(default_factory=Counter)
    """Files that are no images by their extension, counted by it."""
    loops: list[str] = field(default_factory=list)
    """Symbolic links that lead back to a folder above them; not followed."""


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Sorts ``10.x`` after ``9.x``, whatever the case; equal names never swap."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), name


def walk_tree(root: Path) -> Tree:
    """Find the class folders under ``root``: in train/ valid/ test/, or directly.

    Raises:
        ConfigError: (key ``data.root``) there is nothing to train on, or it is ambiguous.
    """
    if not root.is_dir():
        raise _error(f"{show(root)} is not a folder", fix="data.root=FOLDER with your images")
    tree = Tree(root)
    splits = _split_folders(root)
    if splits:
        if "train" not in splits:
            names = ", ".join(f"{folder.name}/" for folder in splits.values())
            raise _error(
                f"{show(root)} has {names} but no train/",
                fix="add train/, or put the class folders directly into the root",
            )
        for split, folder in splits.items():
            tree.files[split] = _classes(tree, folder)
    else:
        tree.files["train"] = _classes(tree, root)
    _refuse_unusable(tree)
    return tree


def _split_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in _subfolders(root):
        split = SPLIT_FOLDERS.get(folder.name.casefold())
        if split and split in found:
            raise _error(
                f"{show(root)} has both {found[split].name}/ and {folder.name}/",
                fix="keep one of them",
            )
        if split:
            found[split] = folder
    return {split: found[split] for split in ("train", "valid", "test") if split in found}


def _classes(tree: Tree, folder: Path) -> dict[str, list[str]]:
    above = frozenset({_identity(tree.root), _identity(folder)})
    classes = {}
    for path in _subfolders(folder):
        if _identity(path) in above:
            tree.loops.append(show(path.relative_to(tree.root)))
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError as error:
            raise _error(
                f"the class folder {show(path)} has a name that is not UTF-8", fix="rename it"
            ) from error
        images = list(_images(tree, path, above))
        classes[path.name] = sorted(images, key=natural_key)
    return classes


def _images(tree: Tree, folder: Path, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Image files below ``folder``, at any depth; links are followed, except back up."""
    identity = _identity(folder)
    if identity in above:
        tree.loops.append(show(folder.relative_to(tree.root)))
        return
    for path, is_folder in _entries(folder):
        if path.suffix.casefold() in EXTENSIONS:  # also what is no file: it is then named as bad
            yield str(path.relative_to(tree.root))
        elif is_folder:
            yield from _images(tree, path, above | {identity})
        else:
            tree.ignored[path.suffix.casefold() or "no extension"] += 1


def _refuse_unusable(tree: Tree) -> None:
    train = tree.files["train"]
    where = show(tree.root)
    if not any(images for classes in tree.files.values() for images in classes.values()):
        raise _error(
            f"no images in class folders under {where}",
            allowed="ROOT/train/CLASS/image.jpg or ROOT/CLASS/image.jpg; extensions "
            + " ".join(sorted(EXTENSIONS)),
        )
    if len(train) == 1:
        (only,) = train
        inner = tree.root / only
        if inner.is_dir() and _split_folders(inner):
            raise _error(
                f"the data set is one folder further down in {where}",
                fix=f"data.root={show(inner)}",
            )
    empty = [name for name, images in train.items() if not images]
    if empty:
        raise _error(
            f"no images in the training class folder(s) {', '.join(map(repr, empty))} of {where}",
            fix="put images there or remove the folder",
        )
    if len({name for classes in tree.files.values() for name in classes}) < 2:
        raise _error(
            f"only one class ({next(iter(train))!r}) under {where}",
            allowed="at least two class folders",
        )


def _subfolders(folder: Path) -> list[Path]:
    return [path for path, is_folder in _entries(folder) if is_folder]


def _entries(folder: Path) -> list[tuple[Path, bool]]:
    """What is in a folder and not hidden, naturally sorted, and whether each is a folder."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _error(
            f"cannot read the folder {show(folder)}: {error.strerror or error}",
            fix="make it readable, or remove it",
        ) from error
    shown.sort(key=lambda entry: natural_key(entry.name))
    return [(folder / entry.name, _is_folder(entry)) for entry in shown]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads nowhere or in a circle: as a file it is named as bad


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _error(message: str, *, allowed: str | None = None, fix: str | None = None) -> ConfigError:
    return ConfigError(message, key="data.root", allowed=allowed, fix=fix)
