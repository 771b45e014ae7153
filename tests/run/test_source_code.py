"""What code goes along with a model's weights: enough to import its class elsewhere."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import pytest

from sweepmaker.run import source_code


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def copied(folder: Path) -> list[str]:
    """Files that do not belong to this package."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert "sweepmaker/models/classifier.py" in names and not [n for n in names if "__pycache__" in n]
    return sorted(name for name in names if not name.startswith("sweepmaker/"))


def load(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> type:
    monkeypatch.syspath_prepend(str(root))
    module, _, kind = name.rpartition(".")
    loaded = getattr(importlib.import_module(module), kind)
    for known in list(sys.modules):  # what is imported here may not serve another test
        if known.partition(".")[0] == name.partition(".")[0]:
            monkeypatch.setitem(sys.modules, known, sys.modules[known])
    assert isinstance(loaded, type)
    return loaded


PACKAGE = {
    "fish_net/__init__.py": "",
    "fish_net/net.py": "from .parts.gills import Gills\nclass Net(Gills): pass\n",
    "fish_net/parts/gills.py": "class Gills: pass\n",  # no __init__.py: a namespace, as people leave it
    "fish_net/parts/table.csv": "1,2",
    "fish_net/.venv/lib.py": "",
    "fish_net/.hidden.py": "",
    "fish_net/__pycache__/net.py": "",
    "other/net.py": "",
}


def test_the_package_goes_along_and_can_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, PACKAGE)
    kind = load(tmp_path, "fish_net.net.Net", monkeypatch)
    source_code.copy(tmp_path / "code", kind)
    assert copied(tmp_path / "code") == [
        "fish_net/__init__.py", "fish_net/net.py", "fish_net/parts/gills.py"
    ]  # fmt: skip
    command = [sys.executable, "-c", "from fish_net.net import Net; print(Net.__mro__[1].__name__)"]
    done = subprocess.run(command, cwd=tmp_path / "code", capture_output=True, text=True, check=True)
    assert done.stdout == "Gills\n"


@pytest.mark.parametrize(("name", "files"), [
    ("bird_net.Net", {"bird_net.py": "class Net: pass\n", "bystander.py": ""}),
    ("bird_pack.Net", {"bird_pack/__init__.py": "class Net: pass\n", "bird_pack/wing.py": "", "x.py": ""}),
])  # fmt: skip
def test_a_lone_file_and_a_package_that_is_one_file(
    name: str, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, files)
    source_code.copy(tmp_path / "code", load(tmp_path, name, monkeypatch))
    assert copied(tmp_path / "code") == [name for name in files if name.startswith("bird")]


@pytest.mark.parametrize("limit", ["_MOST_FILES", "_MOST_BYTES"])
def test_a_package_that_is_too_large_is_named(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"whale{limit.lower()}"
    write(
        tmp_path, {f"{name}/__init__.py": "", f"{name}/net.py": "class Net: pass\n", f"{name}/b.py": "b = 1"}
    )
    kind = load(tmp_path, f"{name}.net.Net", monkeypatch)
    monkeypatch.setattr(source_code, limit, 2)
    with caplog.at_level(logging.WARNING):
        source_code.copy(tmp_path / "code", kind)
    assert copied(tmp_path / "code") == ["net.py"]
    assert str(tmp_path / name) in caplog.text


def test_installed_and_own_packages_stay_out(tmp_path: Path) -> None:
    from torch import nn

    from sweepmaker.models import Classifier

    for number, kind in enumerate((Classifier, dict)):
        source_code.copy(tmp_path / str(number), kind)
        assert copied(tmp_path / str(number)) == []
    # of an installed package the file alone, as a record of what ran
    source_code.copy(tmp_path / "torch", nn.Linear)
    assert copied(tmp_path / "torch") == ["linear.py"]
    source_code.copy(tmp_path / "std", OrderedDict)
    assert len(copied(tmp_path / "std")) <= 1
