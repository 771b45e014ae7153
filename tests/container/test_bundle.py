"""The job's code in an image of our own: found, and unpacked only where nothing in it leads elsewhere."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sweepmaker.config.errors import UserError
from sweepmaker.container import bundle
from sweepmaker.container.folders import Folders


def archive(path: Path, members: list[tarfile.TarInfo], content: bytes = b"x") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if member.isreg() and not member.size:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode = kind, link, mode
    return member


def test_files_and_folders_are_unpacked(tmp_path: Path) -> None:
    members = [entry("src", tarfile.DIRTYPE), entry("src/a.py"), entry("run.sh", mode=0o4755), entry("./b/c")]
    target = tmp_path / "code"
    bundle.unpack(archive(tmp_path / "a.tar.gz", members), target)
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()) == [
        "b/c",
        "run.sh",
        "src/a.py",
    ]
    assert (target / "src/a.py").read_bytes() == b"x"
    assert (target / "run.sh").stat().st_mode & 0o7111 == 0o0111
    assert not (target / "src/a.py").stat().st_mode & 0o111


@pytest.mark.parametrize(
    "members",
    [
        [entry("../evil")],
        [entry("/tmp/evil")],
        [entry("a/../../evil")],
        [entry("link", tarfile.SYMTYPE, "/etc"), entry("link/evil")],
        [entry("hard", tarfile.LNKTYPE, "/etc/passwd")],
        [entry("device", tarfile.CHRTYPE)],
        [entry("pipe", tarfile.FIFOTYPE)],
        [entry("train.py"), entry("train.py")],
        [entry("train.py"), entry("./train.py")],
        [entry("a"), entry("a/b")],
        [entry("a/b"), entry("a")],
    ],
    ids=lambda members: "+".join(member.name for member in members),
)
def test_a_hostile_archive_is_refused(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    target = tmp_path / "in" / "code"
    with pytest.raises(UserError, match=r"a\.tar\.gz"):
        bundle.unpack(archive(tmp_path / "a.tar.gz", members), target)
    assert not (tmp_path / "in" / "evil").exists() and not (tmp_path / "evil").exists()
    assert all(not path.is_symlink() for path in target.rglob("*"))


def test_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive(tmp_path / "a.tar.gz", [entry(str(n)) for n in range(5)], b"x" * 1000)
    monkeypatch.setattr(bundle, "MAX_BYTES", 4999)
    with pytest.raises(UserError, match="more than"):
        bundle.unpack(made, tmp_path / "one")
    monkeypatch.setattr(bundle, "MAX_BYTES", 5000)
    bundle.unpack(made, tmp_path / "two")
    monkeypatch.setattr(bundle, "MAX_FILES", 4)
    with pytest.raises(UserError, match="more than"):
        bundle.unpack(made, tmp_path / "three")


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    return content[:40] + bytes(64) + content[104:]


@pytest.mark.parametrize("damage", [cut, flipped, lambda content: b"", lambda content: b"not a tar"])
def test_a_damaged_archive_is_said(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = archive(tmp_path / "a.tar.gz", [entry("a")], bytes(range(256)) * 64)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="cannot be unpacked"):
        bundle.unpack(path, tmp_path / "code")


def test_the_code_is_where_the_job_says(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    channel = tmp_path / "input" / "data" / "code"
    channel.mkdir(parents=True)
    assert bundle.find({}, folders) is None
    made = archive(channel / bundle.ARCHIVE, [entry("a")])
    assert bundle.find({"lr": "1"}, folders) == made
    for text in (
        "/opt/ml/input/data/code/sourcedir.tar.gz", '"/opt/ml/input/data/code/sourcedir.tar.gz"', str(made)
    ):  # fmt: skip
        assert bundle.find({"sagemaker_submit_directory": text}, folders) == made


@pytest.mark.parametrize("given", ["s3://bucket/key.tar.gz", '"s3://b/k"', "/opt/ml/input/data/none.tar.gz"])
def test_code_that_cannot_be_had_is_said_with_the_cure(tmp_path: Path, given: str) -> None:
    with pytest.raises(UserError, match=r"job\.code=channel"):
        bundle.find({"sagemaker_submit_directory": given}, Folders(tmp_path))
