"""Wheels for containers without internet, downloaded by a real pip from a folder of tiny packages."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest

from launchers.jobs import wheelhouse
from launchers.jobs.packages import training_pins
from sweepmaker.config.errors import ConfigError, UserError
from tests.jobs import checkouts
from tests.jobs.checkouts import build, content, make, members


def wheel(folder: Path, name: str, version: str, tag: str) -> str:
    """A wheel with one module; returns its digest."""
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"tag = {tag!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{about}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source(folder: Path, name: str, version: str) -> str:
    """A source distribution of the old kind; returns its digest."""
    path = folder / f"{name}-{version}.tar.gz"
    setup = (
        f"from setuptools import setup\nsetup(name={name!r}, version={version!r}, py_modules=[{name!r}])\n"
    )
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with tarfile.open(path, "w:gz") as archive:
        for part, text in (("setup.py", setup), (f"{name}.py", "built = True\n"), ("PKG-INFO", about)):
            entry = tarfile.TarInfo(f"{name}-{version}/{part}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the index; the wheel of alpha is for one Python and newer glibcs."""
    checkouts.use_plain_git()
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_" + "LINKS", str(folder))
    return folder


def checkout(tmp_path: Path, alpha: str, beta: str) -> Path:
    lock = checkouts.LOCK.format(alpha=alpha, beta=beta, zero="0" * 64)
    return make(tmp_path / "c", {"requirements.lock": lock})


def forbidden() -> NoReturn:
    raise AssertionError("pip was run again")


@pytest.mark.slow
def test_the_wheels_travel_and_install_without_an_index(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    alpha = wheel(index, "alpha", "1.0", "cp312-cp312-manylinux_2_28_x86_64")
    beta = wheel(index, "beta", "2.0", "py3-none-any")
    here = checkout(tmp_path, alpha, beta)

    dry = build(here, packages="wheelhouse", download=False)
    assert len(dry.notes) == 1 and "not downloaded" in dry.notes[0]
    assert content(dry, "requirements.txt").startswith(b"--no-index\n--find-links wheelhouse\n")

    made = build(here, packages="wheelhouse")
    assert "2 wheels for Linux x86_64, Python 3.12" in capsys.readouterr().err
    wheels = {name for name in members(made) if name.startswith("wheelhouse/")}
    assert wheels == {
        "wheelhouse/alpha-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", "wheelhouse/beta-2.0-py3-none-any.whl"
    }  # fmt: skip

    monkeypatch.setattr(wheelhouse, "pip_command", forbidden)
    assert build(here, packages="wheelhouse") == made
    assert build(here, packages="wheelhouse", download=False) == made

    out = tmp_path / "out"
    with tarfile.open(fileobj=io.BytesIO(made.data)) as archive:
        archive.extractall(out, filter="data")
    monkeypatch.undo()  # nothing of the environment above: what the file says must do
    os.environ["PIP_CONFIG_FILE"] = os.devnull
    done = subprocess.run(
        [*wheelhouse.pip_command(), "install", "-r", "requirements.txt", "--no-deps", "--target", "site",
         "--python-version", "3.12", "--platform", "manylinux_2_28_x86_64"],
        cwd=out, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (out / "site/alpha.py").read_text() == "tag = 'cp312-cp312-manylinux_2_28_x86_64'\n"
    assert (out / "site/beta.py").exists()


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["changed", "lost", "more"])
def test_kept_wheels_are_checked(tmp_path: Path, index: Path, user_cache: Path, damage: str) -> None:
    alpha, beta = wheel(index, "alpha", "1.0", "py3-none-any"), wheel(index, "beta", "2.0", "py3-none-any")
    here = checkout(tmp_path, alpha, beta)
    made = build(here, packages="wheelhouse")
    (kept,) = user_cache.rglob("alpha-1.0-*.whl")
    if damage == "changed":
        kept.write_bytes(b"something else")
    elif damage == "lost":
        kept.unlink()
    else:
        wheel(kept.parent, "gamma", "3.0", "py3-none-any")
    assert build(here, packages="wheelhouse") == made


@pytest.mark.slow
def test_what_exists_as_source_only_is_built_here_the_same_way_every_time(
    tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheelhouse, "SOURCE_ONLY", ("beta",))
    alpha, beta = wheel(index, "alpha", "1.0", "py3-none-any"), source(index, "beta", "2.0")
    here = checkout(tmp_path, alpha, beta)
    made = []
    for umask in (0o022, 0o077):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{umask}"))
        before = os.umask(umask)
        try:
            made.append(build(here, packages="wheelhouse"))
        finally:
            os.umask(before)
    assert made[0] == made[1]
    built = content(made[0], "wheelhouse/beta-2.0-py3-none-any.whl")
    assert hashlib.sha256(built).hexdigest().encode() in content(made[0], "requirements.txt")
    assert beta.encode() not in content(made[0], "requirements.txt")
    assert zipfile.ZipFile(io.BytesIO(built)).read("beta.py") == b"built = True\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tag", "digest", "said"),
    [
        ("py3-none-any", "c" * 64, "HASH"),  # not the file that was locked
        ("cp312-cp312-win_amd64", None, "No matching distribution"),
        ("cp311-cp311-manylinux_2_28_x86_64", None, "No matching distribution"),
        (
            "cp312-cp312-manylinux_2_39_x86_64",
            None,
            "No matching distribution",
        ),  # glibc newer than the image's
    ],
)
def test_what_pip_cannot_get_is_one_message(
    tmp_path: Path, index: Path, user_cache: Path, tag: str, digest: str | None, said: str
) -> None:
    found = wheel(index, "alpha", "1.0", tag)
    here = checkout(tmp_path, digest or found, wheel(index, "beta", "2.0", "py3-none-any"))
    with pytest.raises(UserError) as raised:
        build(here, packages="wheelhouse")
    message = str(raised.value)
    assert message.startswith("job.packages: pip could not get the wheels: ERROR: ")
    assert said in message and len(message) < 1000
    assert raised.value.exit_code == 1
    assert not list(user_cache.rglob("*.whl")), "half a download was kept"


def test_too_many_wheels_are_refused(tmp_path: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("launchers.jobs.bundle.MAX_WHEELHOUSE_MB", 0.0001)
    alpha, beta = wheel(index, "alpha", "1.0", "py3-none-any"), wheel(index, "beta", "2.0", "py3-none-any")
    with pytest.raises(ConfigError, match=r"^job\.packages: the wheels are"):
        build(checkout(tmp_path, alpha, beta), packages="wheelhouse")


def test_without_any_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: None)
    with pytest.raises(ConfigError, match="needs pip"):
        wheelhouse.pip_command()


def test_pip_answers() -> None:
    done = subprocess.run([*wheelhouse.pip_command(), "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("pip "), done.stderr
    assert wheelhouse.pip_command()[0] == sys.executable


def test_a_lock_with_two_versions_for_one_container_is_refused() -> None:
    twice = checkouts.FILES["requirements.lock"].replace("alpha==1.0", "alpha==1.1", 1)
    pins = training_pins(twice + checkouts.FILES["requirements.lock"], checkouts.PROJECT)
    with pytest.raises(ConfigError, match="alpha twice"):
        wheelhouse.fetch(pins, "3.12", "x86_64")
