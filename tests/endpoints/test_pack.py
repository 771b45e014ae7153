"""A model folder as an archive: the same bytes each time, nothing in it that does not belong there."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from launchers.endpoints.pack import pack
from sweepmaker.run.unpack import unpack

NAMES = st.from_regex(r"[a-zA-Z0-9_äß][a-zA-Z0-9_äß.]{0,11}(/[a-z]{1,4}){0,2}", fullmatch=True)


def model(folder: Path) -> Path:
    (folder / "code" / "__pycache__").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 999)
    (folder / "model.json").write_text("{}")
    (folder / "code" / "own.py").write_text("x = 1\n")
    (folder / "code" / "__pycache__" / "own.pyc").write_bytes(b"compiled")
    return folder


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    first = pack(model(tmp_path / "a"), tmp_path / "a.tar.gz")
    other = model(tmp_path / "b")
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    (other / "model.json").chmod(0o600)
    second = pack(other, tmp_path / "b.tar.gz")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert (first.digest, first.sha256) == (second.digest, second.sha256)
    assert first.sha256 == hashlib.sha256(first.path.read_bytes()).hexdigest()
    assert first.digest == hashlib.sha256(gzip.decompress(first.path.read_bytes())).hexdigest()
    assert first.size == first.path.stat().st_size


def test_what_is_in_it(tmp_path: Path) -> None:
    folder = model(tmp_path / "model")
    (folder / "secret").symlink_to("/etc/passwd")
    packed = pack(folder, tmp_path / "model.tar.gz")
    with tarfile.open(packed.path) as tar:
        assert tar.getnames() == ["model.json", "model.safetensors", "code/own.py"]
        assert {(one.mtime, one.uid, one.uname) for one in tar} == {(0, 0, "")}


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files=st.dictionaries(NAMES, st.binary(max_size=3000), max_size=5))
def test_what_was_packed_comes_out(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("model")
    written = {}
    for name, content in files.items():
        path = folder / "in" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue  # a file and a folder at once
        written[path.relative_to(folder / "in").as_posix()] = content
    (folder / "in").mkdir(exist_ok=True)
    unpack(pack(folder / "in", folder / "model.tar.gz").path, folder / "out")
    out = folder / "out"
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found == written
