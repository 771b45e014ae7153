"""What a trial needs beside AWS's PyTorch image, as a requirements.txt with hashes.

AWS's toolkit runs ``pip install -r requirements.txt`` in the code folder, in the environment that
already has torch. The file is a part of ``requirements.lock``: the training side's dependencies and,
by the lock's own ``# via`` comments, what they need in turn, without what the image brings. The
comments are the same on every machine, so the file is too; the installed packages' metadata is not.

``python -m launchers.jobs.packages`` prints it (docker/Dockerfile does that).
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sweepmaker.config.errors import ConfigError

KEY = "job.packages"
CHOICES = ("index", "wheelhouse", "image")
REQUIREMENTS = "requirements.txt"
WHEELHOUSE = "wheelhouse"  # folder in the bundle
LOCK = "requirements.lock"
PROJECT = "pyproject.toml"

# Of the optional parts, those that a trial's config can name: a timm network, the TensorBoard logger.
EXTRAS = ("timm", "tensorboard")
# An image of one's own also serves.
IMAGE_EXTRAS = (*EXTRAS, "serve", "openvino")

# Never installed over the image's own, and what only they need neither.
IN_IMAGE: Mapping[str, str] = {
    "torch": "built for the image's CUDA",
    "torchvision": "fits one version of torch only",
    "triton": "fits one version of torch only",
    "nvidia-*": "CUDA, which the image has",
    "cuda-*": "CUDA, which the image has",
    "setuptools": "torch needs it too, and names the versions that it works with",
}

_SYSTEMS = tuple(
    (python, machine) for python in ("3.11", "3.12", "3.13") for machine in ("x86_64", "aarch64")
)
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.+))?"
)
# "# via fsspec" or, one a line below "# via", "#   fsspec"; "sweepmaker (pyproject.toml)" is no package
_VIA = re.compile(r"#(?: via |   )(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass
class Pin:
    """One entry of the lock.

    Args:
        name: normalised (``hydra-core``).
        version: exact.
        marker: for which machines, as PEP 508 has it; "" for all.
        hashes: ``sha256:<hex>`` of every file of that version.
        via: the packages that need it, normalised.
    """

    name: str
    version: str
    marker: str = ""
    hashes: list[str] = field(default_factory=list)
    via: set[str] = field(default_factory=set)

    def fits(self, python: str, machine: str) -> bool:
        """Whether it is for Linux on ``machine`` (``x86_64``) with ``python`` (``3.12``)."""
        return not self.marker or _holds(Marker(self.marker), python, machine)

    def lines(self, with_marker: bool = True) -> str:
        """The entry as pip reads it."""
        head = f"{self.name}=={self.version}"
        if with_marker and self.marker:
            head += f" ; {self.marker}"
        return " \\\n    ".join([head, *(f"--hash={digest}" for digest in self.hashes)]) + "\n"


def environment(packages: str) -> dict[str, str]:
    """Environment variables for the containers of a job, by the value of ``job.packages``.

    Only what the file names is installed: pip would else look at what torch and the image's other
    packages ask for, and with hashes it refuses whatever of that is not in the file. The one package
    that exists as source only is built with the image's setuptools; pip would else fetch one from
    the index without a hash. (pip reads ``PIP_NO_BUILD_ISOLATION`` the other way around: false means
    no isolation, in every version up to 26.3.) Looking for a newer pip costs minutes without internet.
    """
    if packages == "image":
        return {}
    return {
        "PIP_NO_DEPS": "1",
        "PIP_NO_BUILD_ISOLATION": "false",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def training_pins(lock: str, project: str, extras: Sequence[str] = EXTRAS) -> list[Pin]:
    """The entries of the lock that a trial needs on Linux and the image does not have, by name.

    Args:
        lock: text of requirements.lock, as ``uv pip compile --universal --generate-hashes`` writes it.
        project: text of pyproject.toml.
        extras: optional parts of it that are needed too.

    Raises:
        ConfigError: either cannot be read as that, or the lock is older than pyproject.toml.
    """
    pins = [pin for pin in read_lock(lock) if any(pin.fits(*system) for system in _SYSTEMS)]
    wanted = _roots(project, extras)
    _check_up_to_date(wanted, pins)
    chosen = {name for name in wanted if not in_image(name)}
    while True:
        more = {pin.name for pin in pins if pin.via & chosen and not in_image(pin.name)} - chosen
        if not more:
            return sorted((pin for pin in pins if pin.name in chosen), key=lambda pin: (pin.name, pin.marker))
        chosen |= more


def requirements(pins: Iterable[Pin], options: Sequence[str] = (), with_marker: bool = True) -> str:
    """The text of a requirements.txt; ``options`` are its first lines."""
    head = "".join(f"{option}\n" for option in (*options, "--require-hashes"))
    return head + "".join(pin.lines(with_marker) for pin in pins)


def in_image(name: str) -> bool:
    """Whether AWS's PyTorch training images have the package and it must stay as it is."""
    return any(fnmatchcase(name, pattern) for pattern in IN_IMAGE)


def read_lock(text: str) -> list[Pin]:
    """Every entry of a lock.

    Raises:
        ConfigError: something in it is no version with hashes, or nothing says who needs what.
    """
    pins: list[Pin] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().removesuffix("\\").strip()
        if line.startswith("#"):
            needed_by = _VIA.fullmatch(line)
            if needed_by and pins:
                pins[-1].via.add(canonicalize_name(needed_by["name"]))
        elif line.startswith("--hash=") and pins:
            pins[-1].hashes += [part.removeprefix("--hash=") for part in line.split()]
        elif line:
            pins.append(_pin(line, number))
    bare = [pin.name for pin in pins if not pin.hashes]
    if bare:
        raise _remade(f"{LOCK} has no hashes for {', '.join(bare[:5])}")
    if not any(pin.via for pin in pins):
        raise _remade(f"{LOCK} does not say which package needs which ('# via' comments)")
    return pins


def _pin(line: str, number: int) -> Pin:
    found = _PIN.fullmatch(line)
    if found is None:
        raise _remade(f"{LOCK}, line {number}: {line[:80]!r} is no exact version")
    marker = found["marker"] or ""
    try:
        Marker(marker or "os_name == 'posix'")
    except InvalidMarker:
        raise _remade(f"{LOCK}, line {number}: {marker[:80]!r} is no marker") from None
    return Pin(canonicalize_name(found["name"]), found["version"], marker)


def _roots(project: str, extras: Sequence[str]) -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for on the training side, on any Linux machine."""
    try:
        table = tomllib.loads(project)["project"]
        asked = list(table["dependencies"])
        for extra in extras:
            asked += table.get("optional-dependencies", {}).get(extra, [])
        wanted = [Requirement(entry) for entry in asked]
        wanted = [entry for entry in wanted if entry.name != table.get("name")]  # another of its own extras
    except (tomllib.TOMLDecodeError, InvalidRequirement, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{PROJECT} cannot be read: {error}", key=KEY, fix=f"mend {PROJECT}") from None
    roots: dict[str, list[Requirement]] = {}
    for entry in wanted:
        if entry.marker is None or any(_holds(entry.marker, *system) for system in _SYSTEMS):
            roots.setdefault(canonicalize_name(entry.name), []).append(entry)
    return roots


def _check_up_to_date(wanted: Mapping[str, Sequence[Requirement]], pins: Sequence[Pin]) -> None:
    for name, entries in wanted.items():
        locked = [pin for pin in pins if pin.name == name]
        if not locked:
            raise _remade(f"{PROJECT} asks for {name}, which {LOCK} does not have")
        for entry in entries:
            for pin in locked:
                if not entry.marker and not entry.specifier.contains(pin.version, prereleases=True):
                    raise _remade(f"{PROJECT} asks for {entry}, {LOCK} has {pin.version}")


def _holds(marker: Marker, python: str, machine: str) -> bool:
    return marker.evaluate(
        {
            "python_version": python,
            "python_full_version": f"{python}.9",
            "implementation_version": f"{python}.9",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": machine,
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
            "extra": "",
        }
    )


def _remade(message: str) -> ConfigError:
    return ConfigError(message, key=KEY, fix=f"make lock, then git add {LOCK}; or job.packages=image")


def main() -> None:
    """Print the requirements.txt of an image, made from the checkout in the current folder."""
    lock, project = (Path(name).read_text(encoding="utf-8") for name in (LOCK, PROJECT))
    sys.stdout.write(requirements(training_pins(lock, project, IMAGE_EXTRAS)))


if __name__ == "__main__":
    main()
