"""Archives, honest and hostile: what comes out of them, and what never does."""

from __future__ import annotations

import contextlib
import gzip
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweepmaker.run.unpack import Limits, UnpackError, unpack
from tests.jobs.test_collect import packed


def archive(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info.tobuf(tarfile.GNU_FORMAT) + b"x" * size + b"\0" * (-size % 512)


END = b"\0" * 1024
BAD = {
    "up": member("a/../../x"),
    "absolute": member("/x"),
    "device": member("d", tarfile.CHRTYPE),
    "pipe": member("p", tarfile.FIFOTYPE),
    "twice": member("a", size=1) + member("a", size=1),
    "file and folder": member("a", size=1) + member("a/b", size=1),
    "too many": b"".join(member(f"f{number}") for number in range(12)),
    "too large": member("big", size=5000),
    "long header": tarfile.TarInfo("x" * 5_000_000).tobuf(tarfile.GNU_FORMAT),
    "chained headers": member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=3) * 3000,
    "sparse": member("s", tarfile.GNUTYPE_SPARSE),
    "a name without end": member("n" * 300),
}


@pytest.mark.parametrize("name", BAD)
def test_archives_that_no_honest_job_leaves(name: str, tmp_path: Path) -> None:
    path = archive(tmp_path, gzip.compress(BAD[name] + END))
    with pytest.raises(UnpackError):
        unpack(path, tmp_path / "in" / "out", Limits(files=10, size=4000))
    assert not (tmp_path / "x").exists() and not (tmp_path / "in" / "x").exists()


def test_links_are_left_out(tmp_path: Path) -> None:
    content = (
        member("l", tarfile.SYMTYPE, link="/etc")
        + member("l/passwd", size=1)
        + member("h", tarfile.LNKTYPE, link="l")
    )
    done = unpack(archive(tmp_path, gzip.compress(content + END)), tmp_path / "out")
    assert (done.files, done.left_out) == (1, 2)
    assert not (tmp_path / "out" / "l").is_symlink() and (tmp_path / "out" / "l" / "passwd").is_file()


@pytest.mark.parametrize("cut", [20, 200, 1000])
def test_an_archive_that_was_cut(cut: int, tmp_path: Path) -> None:
    whole = packed({"a": os.urandom(2000), "b": b"1" * 2000})
    with pytest.raises(UnpackError, match="damaged"):
        unpack(archive(tmp_path, whole[:-cut]), tmp_path / "out")
    plain = gzip.compress(gzip.decompress(whole)[:3000])
    with pytest.raises(UnpackError):
        unpack(archive(tmp_path, plain), tmp_path / "other")


NAMES = st.text(st.sampled_from("ab/.\\ \n\0é"), min_size=1, max_size=12)
KINDS = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE]
)
MEMBERS = st.lists(st.tuples(NAMES, KINDS, st.integers(0, 700), NAMES), max_size=6)


@settings(max_examples=150, deadline=None)
@given(MEMBERS, st.binary(max_size=600), st.integers(0, 3))
def test_whatever_is_in_it_stays_inside(members: list[Any], noise: bytes, where: int) -> None:
    parts = [
        member(name.replace("\0", ""), kind, size if kind == tarfile.REGTYPE else 0, link.replace("\0", ""))
        for name, kind, size, link in members
    ]
    parts.insert(min(where, len(parts)), noise)
    with tempfile.TemporaryDirectory() as name:
        outside = Path(name)
        path = archive(outside, gzip.compress(b"".join(parts) + END))
        folder = outside / "in" / "out"
        with contextlib.suppress(UnpackError):
            unpack(path, folder, Limits(files=20, size=10_000))
        assert {one.name for one in outside.iterdir()} == {"a.tar.gz", "in"}
        assert [one.name for one in (outside / "in").iterdir()] == ["out"]
        assert all(not one.is_symlink() and (one.is_file() or one.is_dir()) for one in folder.rglob("*"))
