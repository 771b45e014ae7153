"""The same content gives the same bytes, and nothing in an archive leads out of its folder."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launchers.jobs import archive
from launchers.jobs.archive import Member
from launchers.jobs.bundle import Bundle
from sweepmaker.container import bundle as container_bundle
from tests.jobs import checkouts

EXTRA = {f"src/{name}.py": f"{name} = 1\n" for name in "abcd"} | {"conf/model/ü.yaml": "x: 1\n"}


@settings(max_examples=6, deadline=None)
@given(
    order=st.permutations(sorted(checkouts.FILES | EXTRA)),
    times=st.lists(st.integers(0, 2**31), min_size=11, max_size=11),
    umask=st.sampled_from([0o000, 0o022, 0o077]),
)
def test_order_times_and_umask_do_not_matter(order: list[str], times: list[int], umask: int) -> None:
    checkouts.use_plain_git()
    files = checkouts.FILES | EXTRA
    before = os.umask(umask)
    try:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder, f"checkout {umask}")
            for name, time in zip(order, times, strict=True):
                checkouts.write(here, {name: files[name]})
                os.utime(here / name, (time, time))
            checkouts.git(here, "init", "-q")
            checkouts.git(here, "add", "--", *order[:5])
            checkouts.commit(here)
            made = replace(checkouts.build(here, ("lr=1",)), commit="")
    finally:
        os.umask(before)
    assert made == reference()


@cache
def reference() -> Bundle:
    with tempfile.TemporaryDirectory() as folder:
        return replace(checkouts.build(checkouts.make(Path(folder), EXTRA), ("lr=1",)), commit="")


names = st.lists(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    ).filter(lambda part: part not in (".", "..") and len(part.encode()) <= 255),
    min_size=1,
    max_size=4,
).map("/".join)


def tree(files: Mapping[str, bytes]) -> dict[str, Member]:
    """``files`` without those that lie below another one."""
    kept: dict[str, Member] = {}
    for name, data in files.items():
        if not any(name.startswith(other + "/") or other.startswith(name + "/") for other in kept):
            kept[name] = Member(data, executable=len(data) % 2 == 1)
    return kept


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(names, st.binary(max_size=1500), max_size=6))
def test_what_is_packed_comes_out_again_and_stays_inside(files: dict[str, bytes]) -> None:
    members = tree(files)
    packed = archive.gzip(archive.tar(members))
    assert packed == archive.gzip(archive.tar(dict(reversed(members.items()))))
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = Path(folder, "toolkit"), Path(folder, "ours")
        ours.mkdir()
        theirs.mkdir()
        Path(folder, "x.tar.gz").write_bytes(packed)
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as opened:
            for entry in opened.getmembers():
                assert entry.isreg() and not entry.name.startswith("/") and ".." not in entry.name.split("/")
            opened.extractall(theirs, filter="data")  # as AWS's toolkit does
        container_bundle.unpack(Path(folder, "x.tar.gz"), ours)
        for target in (theirs, ours):
            out = {str(path.relative_to(target)): path for path in target.rglob("*") if path.is_file()}
            assert {name: path.read_bytes() for name, path in out.items()} == {
                name: member.data for name, member in members.items()
            }
            assert all(
                bool(path.stat().st_mode & 0o100) == members[name].executable for name, path in out.items()
            )
        assert {path.name for path in Path(folder).iterdir()} == {"ours", "toolkit", "x.tar.gz"}


def test_this_content_has_this_digest_on_every_machine() -> None:
    members = {"b/ü.py": Member(b"x", True), "a.yaml": Member(b"lr: 1\n"), "d" * 120: Member(b"")}
    digest = hashlib.sha256(archive.tar(members)).hexdigest()
    assert digest == "ca26cbd9826ce966e02a1819e015d30fb8a6022de107bba332e95aa52f756a76"


@pytest.mark.parametrize(
    "name", ["", "/etc/x", "../x", "a/../../x", "a//b", "./a", "a/.", "a/", "a\0b", ".."]
)
def test_a_name_that_leads_elsewhere_is_never_packed(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        archive.tar({name: Member(b"")})


def test_a_file_is_never_a_folder_too() -> None:
    with pytest.raises(ValueError, match="a is a file and the folder"):
        archive.tar({"a": Member(b""), "a/b": Member(b"")})
