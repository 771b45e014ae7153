"""What is installed in a container: the lock's versions, with hashes, without what the image has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from launchers.jobs import packages
from launchers.jobs.packages import Pin, read_lock, requirements, training_pins
from sweepmaker.config.errors import ConfigError
from tests.jobs import checkouts

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SMALL_LOCK = checkouts.FILES["requirements.lock"]


def names(pins: list[Pin]) -> set[str]:
    return {pin.name for pin in pins}


def test_the_image_keeps_its_torch_and_what_only_torch_needs() -> None:
    found = names(training_pins(LOCK, PROJECT))
    assert not found & {"torch", "torchvision", "triton", "setuptools", "sympy", "networkx", "jinja2"}
    assert not [name for name in found if name.startswith(("nvidia-", "cuda-"))]


def test_the_job_side_stays_here() -> None:
    found = names(training_pins(LOCK, PROJECT))
    assert not found & {"boto3", "sagemaker", "moto", "optuna", "pytest", "mypy", "uv", "onnx", "starlette"}
    assert not found & {"colorama", "pywin32"}, "for Windows"


def needed_by_metadata() -> set[str]:
    """The same question answered by the installed packages themselves, for this Python."""
    training = metadata.metadata("sweepmaker").get_all("Requires-Dist") or []
    asked = [(Requirement(entry), extra) for entry in training for extra in ("", *packages.EXTRAS)]
    seen: set[tuple[str, str]] = set()
    while asked:
        entry, extra = asked.pop()
        name = canonicalize_name(entry.name)
        if packages.in_image(name) or (entry.marker and not entry.marker.evaluate({"extra": extra})):
            continue
        for wanted in ("", *entry.extras):
            if (name, wanted) not in seen:
                seen.add((name, wanted))
                asked += [(Requirement(line), wanted) for line in metadata.requires(name) or []]
    return {name for name, _ in seen}


@pytest.mark.skipif(sys.platform != "linux", reason="the lock's part for Linux is what is looked at")
def test_the_locks_comments_and_the_installed_packages_agree() -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    pins = [pin for pin in training_pins(LOCK, PROJECT) if pin.fits(python, "x86_64")]
    assert names(pins) == needed_by_metadata()
    assert {pin.name: pin.version for pin in pins} == {pin.name: metadata.version(pin.name) for pin in pins}


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_one_version_of_each_for_every_container(python: str, machine: str) -> None:
    fitting = [pin.name for pin in training_pins(LOCK, PROJECT) if pin.fits(python, machine)]
    assert len(fitting) == len(set(fitting))
    assert {"lightning", "numpy", "hydra-core", "timm", "tensorboard", "antlr4-python3-runtime"} <= set(
        fitting
    )


def test_every_line_has_a_version_and_hashes_and_no_address() -> None:
    text = requirements(training_pins(LOCK, PROJECT))
    first, *entries = re.split(r"\n(?=\S)", text.removesuffix("\n"))
    assert first == "--require-hashes"
    for entry in entries:
        head, *hashes = entry.split(" \\\n    ")
        assert re.fullmatch(r"[a-z0-9-]+==[^ ]+( ; .+)?", head), head
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", part) for part in hashes)
    assert "://" not in text


def test_an_own_dependency_goes_along() -> None:
    project = PROJECT.replace('"psutil>=6.0",', '"psutil>=6.0", "Scikit_Image",')
    assert {"scikit-image", "tifffile", "imageio"} <= names(training_pins(LOCK, project))
    assert "scikit-image" not in names(training_pins(LOCK, PROJECT))


def test_a_small_lock_gives_this_text() -> None:
    assert requirements(training_pins(SMALL_LOCK, checkouts.PROJECT)) == (
        "--require-hashes\n"
        f"alpha==1.0 \\\n    --hash=sha256:{'a' * 64}\n"
        f"beta==2.0 \\\n    --hash=sha256:{'b' * 64}\n"
    )


@pytest.mark.parametrize(
    ("lock", "project", "said"),
    [
        (SMALL_LOCK, '[project]\ndependencies = ["omega"]', "asks for omega"),
        (
            SMALL_LOCK,
            '[project]\ndependencies = ["alpha>=2"]',
            "asks for alpha>=2, requirements.lock has 1.0",
        ),
        (SMALL_LOCK, '[project]\ndependencies = ["al pha"]', "pyproject.toml cannot be read"),
        (SMALL_LOCK, "[project]\n", "pyproject.toml cannot be read"),
        (SMALL_LOCK, "[project", "pyproject.toml cannot be read"),
        (re.sub(r" \\\n.*--hash=.*", "", SMALL_LOCK), checkouts.PROJECT, "no hashes for alpha"),
        (re.sub(r"\n *#.*", "", SMALL_LOCK), checkouts.PROJECT, "which package needs which"),
        ("-e ./mine\n" + SMALL_LOCK, checkouts.PROJECT, "line 1: '-e ./mine' is no exact version"),
        ("alpha>=1\n" + SMALL_LOCK, checkouts.PROJECT, "line 1"),
        ("alpha==1 ; nonsense\n" + SMALL_LOCK, checkouts.PROJECT, "no marker"),
        ("", checkouts.PROJECT, "which package needs which"),
    ],
)
def test_a_lock_that_cannot_be_used_says_why(lock: str, project: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        training_pins(lock, project)
    assert said in str(raised.value) and str(raised.value).startswith("job.packages: ")
    assert raised.value.fix


@settings(max_examples=50, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25),
    st.sets(st.integers(0, 9), min_size=1),
)
def test_what_is_needed_is_what_can_be_reached(needs: set[tuple[int, int]], roots: set[int]) -> None:
    """Package 0 is torch: nothing is reached through it."""
    name = ["torch", *(f"p{n}" for n in range(1, 10))]
    lines = ["z==1 \\", "    --hash=sha256:00", "    # via p0"]  # needed by none of them
    for n in range(10):
        lines += [f"{name[n]}==1.{n} \\", "    --hash=sha256:00", "    # via", "    #   x (pyproject.toml)"]
        lines += [f"    #   {name[a]}" for a, b in sorted(needs) if b == n]
    project = f"[project]\ndependencies = {[name[n] for n in sorted(roots)]}"
    reached: set[int] = set()
    more = roots - {0}
    while more:
        reached |= more
        more = {b for a, b in needs if a in reached} - reached - {0}
    assert names(training_pins("\n".join(lines), project)) == {name[n] for n in reached}


def test_both_ways_of_writing_who_needs_it_are_read() -> None:
    pins = read_lock(
        "a==1 \\\n  --hash=sha256:00 --hash=sha256:01\n    # via B_c\n"
        "viaduct[x]==2 ; python_version < '3.12' \\\n  --hash=sha256:00\n"
        "    # via\n    #   a\n    #   viaduct\n"
    )
    assert [(pin.name, pin.via, len(pin.hashes)) for pin in pins] == [
        ("a", {"b-c"}, 2), ("viaduct", {"a", "viaduct"}, 1)
    ]  # fmt: skip
    assert [pin.fits("3.12", "x86_64") for pin in pins] == [True, False]


def test_the_containers_environment() -> None:
    assert packages.environment("index") == packages.environment("wheelhouse")
    assert packages.environment("index")["PIP_NO_DEPS"] == "1"
    assert packages.environment("image") == {}


# docker/Dockerfile

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def instructions(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.partition(" ")[2] for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_the_image_starts_with_the_arguments_train_and_serve() -> None:
    assert instructions("ENTRYPOINT") == ['["python", "-m", "sweepmaker.container"]']
    assert instructions("ARG") == ["BASE"] and instructions("FROM") == ["${BASE}"]
    assert "PYTHONUNBUFFERED=1" in instructions("ENV")[0]
    assert not re.search(r"\d{12}", DOCKERFILE), "an account number"


def test_the_image_holds_files_that_exist_and_nothing_where_sagemaker_mounts() -> None:
    assert instructions("WORKDIR") == ["/opt/sweepmaker"]
    ignored = (ROOT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for line in instructions("COPY"):
        *sources, target = line.split()
        assert not target.startswith("/opt/ml")
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(
                source == entry[1:] or source.startswith(entry[1:] + "/")
                for entry in ignored
                if entry[:1] == "!"
            )


def test_the_images_builder_can_make_the_requirements(tmp_path: Path) -> None:
    """With what the Dockerfile has copied by then, and no more."""
    before = DOCKERFILE[: DOCKERFILE.index("\nRUN ")]
    for line in before.splitlines():
        if line.startswith("COPY "):
            *sources, target = line.split()[1:]
            for source in sources:
                place = tmp_path / (source if target == "./" else target)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, 'build'); import runpy; "
         "runpy.run_module('launchers.jobs.packages', run_name='__main__')"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == requirements(training_pins(LOCK, PROJECT, packages.IMAGE_EXTRAS))
    assert {"starlette", "uvicorn", "onnxruntime", "openvino", "lightning"} <= names(
        training_pins(LOCK, PROJECT, packages.IMAGE_EXTRAS)
    )
