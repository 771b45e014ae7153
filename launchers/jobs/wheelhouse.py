"""The wheels of what a trial needs, for containers without internet: downloaded once, then kept.

Every wheel is checked against the hashes of requirements.lock, when it comes and whenever it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from launchers.jobs.packages import KEY, WHEELHOUSE, Pin, requirements
from sweepmaker.config.errors import ConfigError, UserError

# Published as source only, and pure Python: a wheel built here fits everywhere.
SOURCE_ONLY = ("antlr4-python3-runtime",)

# The oldest glibc of AWS's current images is 2.34 (Amazon Linux 2023); a wheel built against an
# older one runs there too. 2.17 is what "manylinux2014" means.
_GLIBC = range(34, 4, -1)
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}

# Zip files know no time before 1980; a fixed one keeps a wheel built here the same every time.
_EPOCH = "315532800"
_RECIPE = 1  # raise when the way of building changes, so that kept wheels are made anew


def fetch(pins: Sequence[Pin], python: str, machine: str, *, download: bool = True) -> dict[str, bytes]:
    """The wheel of each pin: file name to content.

    Args:
        pins: entries of the lock, with one version per name for that Python and machine.
        python: version in the container, such as ``3.12``.
        machine: ``x86_64`` or ``aarch64``; the system is Linux.
        download: whether missing wheels may be downloaded (the first time, 100 MB and more).

    Returns:
        Nothing if they are not at hand and may not be downloaded.

    Raises:
        UserError: pip could not get them.
        ConfigError: there is no pip, or the lock names one package twice.
    """
    fitting = [pin for pin in pins if pin.fits(python, machine)]
    names = [pin.name for pin in fitting]
    if len(names) != len(set(names)):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ConfigError(f"requirements.lock names {twice[0]} twice for Python {python}", key=KEY)
    wanted = requirements(fitting, with_marker=False)
    about = f"{_RECIPE} {python} {machine} {_builder()}\n{wanted}"
    folder = _cache() / hashlib.sha256(about.encode()).hexdigest()[:32]
    kept = _kept(folder, fitting)
    if kept is None and download:
        print(
            f"{KEY}: downloading {len(fitting)} wheels for Linux {machine}, Python {python}", file=sys.stderr
        )
        _download(fitting, python, machine, folder)
        kept = _kept(folder, fitting)
        if kept is None:
            raise UserError(
                f"what pip downloaded does not agree with requirements.lock (see {folder})",
                key=KEY,
                fix="job.packages=image with an image of your own (docker/Dockerfile), or =index",
            )
    return kept or {}


def requirements_for(pins: Sequence[Pin], wheels: Mapping[str, bytes], python: str, machine: str) -> str:
    """A requirements.txt that finds everything in the folder of the wheels, each with its one hash.

    pip takes the folder relative to the file. Without ``wheels`` the hashes are the lock's.
    """
    digests = {_package(name): f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in wheels.items()}
    exact = [
        replace(pin, hashes=[digests[pin.name]] if wheels else pin.hashes)
        for pin in pins
        if pin.fits(python, machine)
    ]
    return requirements(exact, ("--no-index", f"--find-links {WHEELHOUSE}"), with_marker=False)


def pip_command() -> list[str]:
    """The pip of this environment, or the one that Python brings along for new environments.

    Raises:
        ConfigError: there is neither.
    """
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    folders = [sysconfig.get_config_var("WHEEL_PKG_DIR")]  # where Debian and Fedora keep it
    ensurepip = importlib.util.find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin:
        folders.append(str(Path(ensurepip.origin).parent / "_bundled"))
    for folder in folders:
        found = sorted(Path(folder).glob("pip-*.whl")) if folder else []
        if found:
            return [sys.executable, str(found[-1] / "pip")]
    raise ConfigError(
        f"wheelhouse needs pip to download wheels, and {sys.executable} has none",
        key=KEY,
        fix="apt-get install python3-venv (it brings pip along), or job.packages=index",
    )


def _download(pins: Sequence[Pin], python: str, machine: str, folder: Path) -> None:
    """Into a folder beside ``folder`` first: what stands there is always whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder.parent) as temporary:
        here = Path(temporary)
        arriving = here / "wheels"
        arriving.mkdir()
        ready = [pin for pin in pins if pin.name not in SOURCE_ONLY]
        if ready:
            _pip(
                ["download", "--only-binary=:all:", "--dest", str(arriving), *_target(python, machine)], ready
            )
        built = [_build(pin, here, arriving) for pin in pins if pin.name in SOURCE_ONLY]
        notes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built}
        (arriving / "built.json").write_text(json.dumps(notes), encoding="utf-8")
        if folder.exists():  # incomplete or changed, or it would have been taken
            shutil.rmtree(folder)
        try:
            arriving.rename(folder)
        except OSError:
            # Another launch was sooner; its wheels are the same ones, and are checked by our caller.
            if not folder.is_dir():
                raise


def _build(pin: Pin, here: Path, arriving: Path) -> Path:
    """A wheel from the hash-checked source, with this environment's own setuptools, time and modes fixed."""
    target = here / pin.name
    options = [
        "--no-build-isolation",
        "--no-cache-dir",
        f"--no-binary={pin.name}",
        "--wheel-dir",
        str(target),
    ]
    _pip(["wheel", *options], [pin])
    (made,) = target.glob("*.whl")
    if not made.name.endswith("-none-any.whl"):
        raise UserError(f"{made.name}, built from source, runs on this machine only", key=KEY)
    plain = arriving / made.name
    with zipfile.ZipFile(made) as source, zipfile.ZipFile(plain, "w", zipfile.ZIP_STORED) as copy:
        for name in sorted(source.namelist()):
            entry = zipfile.ZipInfo(name)  # 1980-01-01
            entry.external_attr = 0o100644 << 16
            copy.writestr(entry, source.read(name))
    return plain


def _target(python: str, machine: str) -> list[str]:
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC]
    platforms += [f"{name}_{machine}" for name in _LEGACY.values()]
    chosen = [option for platform in platforms for option in ("--platform", platform)]
    return ["--implementation", "cp", "--python-version", python, *chosen]


def _pip(arguments: Sequence[str], pins: Iterable[Pin]) -> None:
    """Run pip on exactly these pins; the index is the one pip is configured for."""
    with tempfile.TemporaryDirectory(prefix="pip-") as temporary:
        wanted = Path(temporary) / "requirements.txt"
        wanted.write_text(requirements(pins, with_marker=False), encoding="utf-8")
        what, *options = arguments
        done = subprocess.run(
            [
                *pip_command(), what, "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps",
                "--require-hashes", *options, "--requirement", str(wanted),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | {"SOURCE_DATE_EPOCH": _EPOCH, "PIP_NO_COLOR": "1"},
        )  # fmt: skip
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR")] or said[-3:] or ["no message"]
        raise UserError(
            f"pip could not get the wheels: {' '.join(errors)[:600]}",
            key=KEY,
            fix="mend what pip says, or job.packages=index (the container downloads), "
            "or =image (docker/Dockerfile)",
        )


def _kept(folder: Path, pins: Sequence[Pin]) -> dict[str, bytes] | None:
    """The wheels in ``folder`` if there is exactly one for each pin, with a hash that is allowed."""
    try:
        built: Mapping[str, str] = json.loads((folder / "built.json").read_bytes())
        wheels = {path.name: path.read_bytes() for path in sorted(folder.glob("*.whl"))}
        found = {_package(name): name for name in wheels}
    except (OSError, ValueError, InvalidWheelFilename):
        return None
    if len(wheels) != len(pins):
        return None
    for pin in pins:
        name = found.get(pin.name, "")
        digest = hashlib.sha256(wheels.get(name, b"")).hexdigest()
        allowed = [f"sha256:{built.get(name)}"] if pin.name in SOURCE_ONLY else pin.hashes
        if f"sha256:{digest}" not in allowed:
            return None
    return wheels


def _package(wheel: str) -> str:
    return str(parse_wheel_filename(wheel)[0])


def _builder() -> str:
    """Version of the setuptools that builds: it writes its own into the wheel."""
    from importlib import metadata

    try:
        return metadata.version("setuptools")
    except metadata.PackageNotFoundError:
        return ""


def _cache() -> Path:
    from sweepmaker.data.storage import user_cache  # late: it imports numpy

    return user_cache() / "wheels"
