"""Files that are whole or as they were, whatever goes wrong while they are written."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.run import atomic
from tests.run.disk import small_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("old")
    return path


def test_a_writer_that_raises_leaves_the_old_content(kept: Path) -> None:
    with pytest.raises(KeyError), atomic.replacing(kept) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert kept.read_text() == "old"
    assert names(kept.parent) == ["file"]


def test_nobody_sees_it_before_it_is_whole(kept: Path) -> None:
    with atomic.replacing(kept) as temporary:
        temporary.write_text("new")
        assert kept.read_text() == "old"
    assert kept.read_text() == "new"
    assert names(kept.parent) == ["file"]


@pytest.mark.parametrize("at", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_content(kept: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    with small_files(1000), pytest.raises(OSError):
        atomic.write_text(kept, "n" * 5000)
    assert kept.read_text() == "old"
    assert names(kept.parent) == ["file"]


def test_it_reaches_the_disk_before_its_name(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda file: (order.append("fsync"), fsync(file))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (order.append("rename"), replace(a, b))[1])
    atomic.write_text(kept, "new")
    assert order == ["fsync", "rename"]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_text(tmp_path / "no" / "file", "x")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    program = f"from sweepmaker.run import atomic; atomic.write_text({str(tmp_path / 'file')!r}, 'x')"
    subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        umask=umask,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (float("nan"), None),
        (float("inf"), None),
        ({"a": [1.5, -float("inf")], 3: (1, float("nan"))}, {"a": [1.5, None], "3": [1, None]}),
        ({"name": "Köln ☕", "none": None, "yes": True, "big": 2**60}, None),
    ],
)
def test_json_has_no_nan(tmp_path: Path, value: Any, read: Any) -> None:
    atomic.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert found == (value if isinstance(value, dict) and "name" in value else read)
    assert text.endswith("\n")


def test_what_json_cannot_hold_is_written_as_text(kept: Path) -> None:
    atomic.write_json(kept, {"x": Path("/a"), "y": float("nan")})
    assert json.loads(kept.read_text()) == {"x": "/a", "y": None}


def test_json_that_cannot_be_made_leaves_the_old_content(kept: Path) -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises((ValueError, RecursionError)):
        atomic.write_json(kept, endless)
    assert kept.read_text() == "old"
    assert names(kept.parent) == ["file"]


@pytest.mark.parametrize("special", ["pipe", "link"])
def test_no_file_takes_the_place_of_a_device_or_a_pipe(special: str, tmp_path: Path) -> None:
    """As root, a rename over /dev/null would break every program of the machine."""
    target = tmp_path / "out.csv"
    os.mkfifo(tmp_path / "pipe")
    if special == "link":
        target.symlink_to(tmp_path / "pipe")
    else:
        (tmp_path / "pipe").rename(target)
    with pytest.raises(OSError, match="device or a pipe"):
        atomic.write_text(target, "text")
    assert not target.is_file()
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/new"])
def test_nothing_is_written_among_devices(name: str) -> None:
    with pytest.raises(OSError, match="device or a pipe"):
        atomic.check_replaceable(Path(name))
