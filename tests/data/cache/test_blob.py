"""A cache file is whole, or it says why not."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.data.cache import blob
from sweepmaker.data.cache.blob import Damaged, Writer, open_blob

ABOUT = {"kind": "test", "n": 3}


def write(path: Path, *, rows: int = 1000) -> np.ndarray[Any, Any]:
    content = np.arange(rows * 3, dtype=np.int64).reshape(rows, 3)
    with path.open("wb") as file:
        writer = Writer(file)
        assert writer.append(np.array([1, 2, 3], np.uint8)) == 0
        writer.section("numbers", content)
        writer.finish(ABOUT)
    return content


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    content = write(tmp_path / "a")
    opened = open_blob(tmp_path / "a")
    assert opened.about == ABOUT and opened.bytes_[:3].tolist() == [1, 2, 3]
    assert np.array_equal(opened.array("numbers"), content)
    with pytest.raises(Damaged, match="'others'"):
        opened.array("others")


def test_writing_to_it_changes_no_file(tmp_path: Path) -> None:
    write(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    open_blob(tmp_path / "a").bytes_[:] = 0
    assert (tmp_path / "a").read_bytes() == before


def test_another_process_maps_it_itself(tmp_path: Path) -> None:
    content = write(tmp_path / "a", rows=100_000)
    text = pickle.dumps(open_blob(tmp_path / "a"))
    assert len(text) < 1000
    assert np.array_equal(pickle.loads(text).array("numbers"), content)


def test_nothing_in_it(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        Writer(file).finish({})
    assert open_blob(tmp_path / "a").bytes_.size == 0


def test_piece_by_piece_is_the_same_file(tmp_path: Path) -> None:
    content = np.arange(24, dtype=np.float32).reshape(2, 4, 3)
    for name, pieces in (("whole", [content]), ("pieces", [content[0, :3], content[0, 3:], content[1]])):
        with (tmp_path / name).open("wb") as file:
            writer = Writer(file)
            writer.append(np.zeros((0, 3), np.uint8))  # nothing takes no room
            writer.section_of("numbers", content.dtype, content.shape, iter(pieces))
            writer.section("none", np.zeros((0, 2), np.int64))
            writer.finish(ABOUT)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()
    assert np.array_equal(open_blob(tmp_path / "pieces").array("numbers"), content)
    assert open_blob(tmp_path / "pieces").array("none").shape == (0, 2)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([np.zeros((2, 3), np.float32)], "6 values are missing"),
        ([np.zeros((5, 3), np.float32)], "-3 values are missing"),
        ([np.zeros((4, 3))], "float64 in an array of float32"),
    ],
)
def test_pieces_that_do_not_fit(tmp_path: Path, pieces: list[Any], message: str) -> None:
    with (tmp_path / "a").open("wb") as file, pytest.raises(ValueError, match=message):
        Writer(file).section_of("numbers", np.dtype(np.float32), (4, 3), pieces)


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 24_300))
def test_truncated_anywhere(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("blob") / "a"
    write(path)
    whole = path.stat().st_size
    os.truncate(path, min(cut, whole - 1))
    with pytest.raises(Damaged):
        open_blob(path)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_bit_changed_anywhere(tmp_path_factory: pytest.TempPathFactory, place: float, bit: int) -> None:
    path = tmp_path_factory.mktemp("blob") / "a"
    write(path)
    open_blob(path)  # it was good before
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    with pytest.raises(Damaged):
        open_blob(path)


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 5000], ids=["empty", "short", "zeros"])
def test_not_ours(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(Damaged):
        open_blob(tmp_path / "a")


def test_content_is_read_once_as_long_as_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a")
    open_blob(tmp_path / "a")
    looks: list[int] = []
    monkeypatch.setattr(blob, "_check", lambda file, size, crc: looks.append(size))
    open_blob(tmp_path / "a")
    assert looks == []
    write(tmp_path / "a")
    os.utime(tmp_path / "a", ns=(1, 1))
    open_blob(tmp_path / "a")
    assert len(looks) == 1
