"""Looking at every file once: sums, fingerprint, bad files, and what is remembered."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.config.errors import DataError
from sweepmaker.data import inventory
from sweepmaker.data.decode import read_image
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.inventory import channel_sums
from sweepmaker.data.source import ChannelSums
from sweepmaker.data.statistics import channel_statistics, from_sums
from sweepmaker.data.storage import Store
from tests.images import class_tree, photo_jpeg


def source(root: Path, max_pixels: int = 10**6) -> FolderSource:
    return FolderSource(root, max_pixels=max_pixels, threads=2, say=lambda line: None)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were really decoded."""
    seen: list[str] = []
    inspect: Callable[[Path, int], object] = inventory._inspect

    def watched(path: Path, max_pixels: int) -> object:
        seen.append(path.name)
        return inspect(path, max_pixels)

    monkeypatch.setattr(inventory, "_inspect", watched)
    return seen


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 99))
def test_sums_are_exact(height: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
    exact = image.long()
    assert channel_sums(image) == (exact.sum((1, 2)).tolist(), (exact**2).sum((1, 2)).tolist())


def test_sums_are_exact_for_a_large_bright_image() -> None:
    image = torch.full((3, 1100, 2000), 255, dtype=torch.uint8)  # more than one block of rows
    count = 1100 * 2000
    assert channel_sums(image) == ([255 * count] * 3, [255 * 255 * count] * 3)


def test_statistics_are_those_of_all_pixels(tmp_path: Path) -> None:
    data = source(class_tree(tmp_path, size=(31, 17)))
    assert data.check() == {}
    train = data.given["train"]
    stats = channel_statistics(data, train, Store(tmp_path, print))
    pixels = [read_image(tmp_path / data.files[i]).flatten(1).double() for i in train.tolist()]
    every = torch.cat(pixels, 1) / 255
    np.testing.assert_allclose(stats.mean, every.mean(1), rtol=1e-12)
    np.testing.assert_allclose(stats.std, every.std(1, correction=0), rtol=1e-9)
    kept = list((tmp_path / ".sweepmaker").glob("stats-*.json"))
    assert len(kept) == 1
    assert json.loads(kept[0].read_text())["fingerprint"] == data.fingerprint


def test_a_constant_channel_has_a_usable_std() -> None:
    sums = ChannelSums()
    sums.add(10, [0, 2550, 100], [0, 650250, 1000])
    stats = from_sums(sums)
    assert stats.mean == (0.0, 1.0, 10 / 255) and stats.std == (1 / 255,) * 3


def test_the_second_time_only_what_changed_is_looked_at(tmp_path: Path, looks: list[str]) -> None:
    class_tree(tmp_path)
    first = source(tmp_path)
    first.check()
    assert len(looks) == 24
    looks.clear()
    again = source(tmp_path)
    again.check()
    assert looks == [] and again.fingerprint == first.fingerprint
    (tmp_path / "test" / "cat" / "3.jpg").write_bytes(photo_jpeg(99, (30, 20)))
    (tmp_path / "test" / "cat" / "4.jpg").write_bytes(photo_jpeg(98, (30, 20)))
    changed = source(tmp_path)
    changed.check()
    assert sorted(looks) == ["3.jpg", "4.jpg"]
    assert changed.fingerprint != first.fingerprint


def test_the_fingerprint_is_of_names_and_content(tmp_path: Path) -> None:
    one = source(class_tree(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    copy = source(tmp_path / "copy")
    (tmp_path / "copy" / "train" / "cat" / "0.jpg").touch()
    for each in (one, copy):
        each.check()
    assert one.fingerprint == copy.fingerprint
    (tmp_path / "copy" / "train" / "cat" / "0.jpg").rename(tmp_path / "copy" / "train" / "cat" / "z.jpg")
    renamed = source(tmp_path / "copy")
    renamed.check()
    assert renamed.fingerprint != one.fingerprint


def test_bad_files_are_named_and_looked_at_again(tmp_path: Path, looks: list[str]) -> None:
    class_tree(tmp_path, splits=())
    good = (tmp_path / "cat" / "0.jpg").read_bytes()
    (tmp_path / "cat" / "0.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "cat" / "text.jpg").write_text("not an image")
    (tmp_path / "dog" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "dog" / "wide.png").write_bytes(photo_jpeg(0, (200, 10)))
    data = source(tmp_path, max_pixels=1000)
    reasons = data.check()
    assert {data.item_name(item) for item in reasons} == {
        "cat/0.jpg",
        "cat/text.jpg",
        "dog/gone.jpg",
        "dog/wide.png",
    }
    for item, reason in reasons.items():
        assert data.item_name(item) in reason
    looks.clear()
    (tmp_path / "cat" / "0.jpg").write_bytes(good)
    mended = source(tmp_path)
    assert len(mended.check()) == 2
    assert sorted(looks) == ["0.jpg", "gone.jpg", "text.jpg", "wide.png"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["fifo", "socket", "folder", "link to a device"])
def test_what_is_no_file_is_bad_and_nobody_waits_for_it(tmp_path: Path, kind: str) -> None:
    class_tree(tmp_path, splits=())
    odd = tmp_path / "cat" / "9.jpg"
    if kind == "fifo":
        os.mkfifo(odd)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(odd.parent):
            listener.bind(odd.name)  # by its short name: the path of a socket is limited
    elif kind == "folder":
        odd.mkdir()
        (odd / "inner.txt").write_text("x")
    else:
        odd.symlink_to("/dev/zero")
    data = source(tmp_path)
    reasons = data.check()
    assert [data.item_name(item) for item in reasons] == ["cat/9.jpg"]
    assert str(odd) in next(iter(reasons.values()))
    with pytest.raises(DataError, match="cannot read"):
        data.load(next(iter(reasons)))


def test_a_lower_limit_applies_to_files_that_are_known(tmp_path: Path) -> None:
    class_tree(tmp_path, splits=(), size=(20, 20))
    assert source(tmp_path, max_pixels=400).check() == {}
    assert len(source(tmp_path, max_pixels=399).check()) == 8


def test_an_interrupted_pass_goes_on_where_it_was(
    tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class_tree(tmp_path, splits=())
    inspect = inventory._inspect

    def interrupted(path: Path, max_pixels: int) -> object:
        if path.name == "2.jpg" and path.parent.name == "dog":
            raise KeyboardInterrupt
        return inspect(path, max_pixels)

    with monkeypatch.context() as patch:
        patch.setattr(inventory, "_inspect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source(tmp_path).check()
    looks.clear()
    assert source(tmp_path).check() == {}
    assert looks == ["2.jpg", "3.jpg"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1, "files": {"cat/0.jpg": [1]}}'])
def test_a_damaged_inventory_is_made_again(tmp_path: Path, content: str) -> None:
    class_tree(tmp_path, splits=())
    first = source(tmp_path)
    first.check()
    (tmp_path / ".sweepmaker" / "inventory.json").write_text(content)
    again = source(tmp_path)
    assert again.check() == {} and again.fingerprint == first.fingerprint


def test_read_only_data_uses_the_users_cache(tmp_path: Path, user_cache: Path, looks: list[str]) -> None:
    class_tree(tmp_path, splits=())
    (tmp_path / ".sweepmaker").write_text("a file where the folder should be")
    source(tmp_path).check()
    assert list(user_cache.rglob("inventory.json"))
    looks.clear()
    source(tmp_path).check()
    assert looks == []


def test_a_full_disk_costs_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sweepmaker.data.storage.write_text", full)
    class_tree(tmp_path, splits=())
    lines: list[str] = []
    data = FolderSource(tmp_path, max_pixels=10**6, threads=1, say=lines.append)
    assert data.check() == {} and data.fingerprint
    assert len(lines) == 1 and "No space left on device" in lines[0]


def test_a_file_name_that_is_not_utf8(tmp_path: Path) -> None:
    class_tree(tmp_path, splits=())
    os.rename(tmp_path / "cat" / "0.jpg", os.fsencode(tmp_path) + b"/cat/\xe4.jpg")  # noqa: PTH104
    data = source(tmp_path)
    assert data.check() == {}
    item = [data.item_name(i) for i in range(len(data.labels))].index("cat/\\xe4.jpg")
    assert data.load(item).shape[0] == 3
    assert source(tmp_path).check() == {}


def test_the_order_of_files_is_natural_whatever_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class_tree(tmp_path, ("10.b", "9.a"), splits=(), images=11, size=(8, 8))
    first = source(tmp_path)
    assert first.class_names == ["9.a", "10.b"]
    assert first.files[:3] == ["9.a/0.jpg", "9.a/1.jpg", "9.a/2.jpg"]
    assert first.files[10] == "9.a/10.jpg" and first.labels[10] == 0
    scan = os.scandir

    class Shuffled:
        def __init__(self, path: Path) -> None:
            self.entries = list(scan(path))
            random.Random(0).shuffle(self.entries)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("sweepmaker.data.tree.os.scandir", Shuffled)
    assert source(tmp_path).files == first.files
