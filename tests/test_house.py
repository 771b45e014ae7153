"""The rules of the house that a reader of one file cannot see: arrows, sizes, names, addresses."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imports import forbidden, imports_below

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 300  # lines

# part -> what it may not import; a part that is still to come is held to it from its first file.
ARROWS = {
    "src/sweepmaker": ("launchers", "boto3", "botocore", "sagemaker", "hydra_plugins"),
    "launchers/limits": ("launchers.aws", "launchers.jobs", "launchers.endpoints", "launchers.embedded"),
    "launchers/aws": ("launchers.jobs", "launchers.endpoints", "launchers.embedded"),
    "launchers/jobs": ("launchers.endpoints", "launchers.embedded"),
    "launchers/endpoints": ("launchers.jobs", "launchers.embedded"),
    "launchers/embedded": ("launchers.aws", "launchers.jobs", "launchers.endpoints"),
    "launchers/plugin": ("launchers.embedded",),
}


def base_of(part: str) -> Path:
    return ROOT / "src" if part.startswith("src/") else ROOT


@pytest.mark.parametrize("part", ARROWS)
def test_arrows_point_one_way(part: str) -> None:
    assert forbidden(imports_below(ROOT / part, base_of(part)), ARROWS[part]) == []


def test_nobody_imports_the_embedded_server() -> None:
    for script in sorted(ROOT.glob("*.py")):
        assert forbidden(imports_below(script, ROOT), ("launchers.embedded",)) == []


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("import boto3", "boto3"),
        ("import os, boto3.session as s", "boto3.session"),
        ("from sagemaker.train import ModelTrainer", "sagemaker.train"),
        ("from launchers import jobs", "launchers"),
        ("def late():\n    import botocore.model", "botocore.model"),
        ("import importlib\nimportlib.import_module('sagemaker.core')", "sagemaker.core"),
        ("from ...launchers.jobs import submit", "launchers.jobs"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, line: str, seen: str) -> None:
    planted = tmp_path / "sweepmaker" / "run" / "bad.py"
    planted.parent.mkdir(parents=True)
    planted.write_text(line + "\n")
    found = forbidden(imports_below(tmp_path / "sweepmaker", tmp_path), ARROWS["src/sweepmaker"])
    assert any(entry.endswith(f"imports {seen}") for entry in found), found


def test_a_similar_name_is_no_violation(tmp_path: Path) -> None:
    planted = tmp_path / "good.py"
    planted.write_text("import sagemaker_training\nfrom . import launchers_of_mine\n")
    assert forbidden(imports_below(tmp_path, tmp_path), ARROWS["src/sweepmaker"]) == []


def test_files_stay_short() -> None:
    files = [*ROOT.glob("*.py")]
    for folder in ("src", "launchers", "tests", "benchmarks"):
        files += (ROOT / folder).rglob("*.py")
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines()) for file in files
    }
    assert lengths, "no file found: the test looks in the wrong place"
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def top_level_names(folder: Path) -> set[str]:
    """What ``import`` can find in ``folder`` before it looks at the installed packages."""
    modules = {path.stem for path in folder.glob("*.py")}
    return modules | {path.parent.name for path in folder.glob("*/__init__.py")}


def test_nothing_shadows_an_installed_package() -> None:
    installed = {
        name
        for name, owners in importlib.metadata.packages_distributions().items()
        if set(owners) != {"sweepmaker"}
    }
    # smdebug-rulesconfig installs its own tests as a top-level package, which nothing imports.
    installed -= {"tests"}
    ours = set()
    for folder in (ROOT, ROOT / "src", ROOT / "launchers" / "plugin"):
        ours |= top_level_names(folder)
    assert "sweepmaker" in ours
    assert ours & (installed | sys.stdlib_module_names) == set()


def test_config_is_read_without_heavy_imports() -> None:
    program = (
        "import importlib, pkgutil, sys, sweepmaker.config as config\n"
        "for module in pkgutil.walk_packages(config.__path__, config.__name__ + '.'):\n"
        "    importlib.import_module(module.name)\n"
        "heavy = {'torch', 'torchvision', 'lightning', 'sklearn', 'scipy', 'matplotlib', 'timm'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


# Written so that this file does not match itself.
PRIVATE = {
    "the address of a package index": re.compile(
        r"(?:index[-_]url|find[-_]links)[\"']?\s*[=:]?\s*[\"']?(?:https?|file):/{2}|:/{2}[^\s]+/simple\b",
        re.IGNORECASE,
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.$}])/(?:[r]oot/|[U]sers/\w|[w]ork/(?:main|shared)\b|[h]ome/(?!ec2-user\b|sagemaker-user\b|user\b)\w)"
    ),
}


def private_parts(text: str) -> list[str]:
    return [what for what, pattern in PRIVATE.items() if pattern.search(text)]


def our_files() -> list[Path]:
    """The files git has or would add; of an unpacked archive, what is not hidden."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
    )
    if listing.returncode == 0:
        return [ROOT / os.fsdecode(name) for name in listing.stdout.split(b"\0") if name]
    return [p for p in ROOT.rglob("*") if not any(part[0] == "." for part in p.parts[1:])]


def test_no_file_tells_of_one_machine() -> None:
    told = {}
    for file in our_files():
        if not file.is_file():
            continue  # deleted, but not yet in git's index
        content = file.read_bytes()
        found = private_parts(content.decode("utf-8", errors="replace"))
        if found and b"\0" not in content:
            told[str(file.relative_to(ROOT))] = found
    assert told == {}


@pytest.mark.parametrize(
    "text",
    [
        "--index-" + "url https:" + "//packages.example",
        "extra-index-" + "url = file:///srv/wheels",
        "PIP_FIND_" + "LINKS=https:" + "//packages.example/wheels",
        "see https:" + "//packages.example/pypi/simple/torch",
        "data.root=/ho" + "me/anna/dogImages",
        'open("/ro' + 'ot/x")',
    ],
)
def test_a_planted_address_is_found(text: str) -> None:
    assert private_parts(text) != []


@pytest.mark.parametrize("text", ["a simple/plain path", "/opt/ml/input", "~/data", "$HOME/x"])
def test_what_is_allowed_is_not_found(text: str) -> None:
    assert private_parts(text) == []
