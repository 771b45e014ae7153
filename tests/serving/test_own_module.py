"""Code of the user's own is the artifact's, and what is installed stays what it is."""

from __future__ import annotations

import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sweepmaker
import sweepmaker.models
from sweepmaker.config.errors import UserError
from sweepmaker.serving import own_module
from tests.integration.runs import environment

NET = "from torch import nn\n\n\nclass Net(nn.Module):\n    trained = True\n"


@pytest.fixture(autouse=True)
def paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this package is looked for is the same after a test."""
    for package in (sweepmaker, sweepmaker.models):
        monkeypatch.setattr(package, "__path__", [*package.__path__])


def write(code: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_text(text)


def built_elsewhere(code: Path, target: str, then: str) -> str:
    """What ``then`` prints of ``network`` in a process of its own: what is imported stays imported."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom sweepmaker.serving import own_module\n"
        f"network = own_module.build(Path({str(code)!r}), {{'target': {target!r}}}, 0)\n{then}\n"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_class_inside_this_package_is_the_one_that_was_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """People put their own modules beside ours; what answers is the file of the artifact."""
    place = tmp_path / "sweepmaker" / "models"
    place.mkdir(parents=True)
    (place / "mine.py").write_text(
        "from torch import nn\nfrom .networks import build_network\n\n"
        "class Net(nn.Module):\n    trained = build_network.__name__\n"
    )
    monkeypatch.setitem(sys.modules, "sweepmaker.models.mine", None)  # undone afterwards
    network: Any = own_module.build(tmp_path, {"target": "sweepmaker.models.mine.Net"}, 0)
    assert network.trained == "build_network"


@pytest.mark.parametrize("above", ["", "models/"], ids=["beside", "below"])
def test_a_package_inside_this_package_is_found_where_only_the_artifact_has_it(
    above: str, tmp_path: Path
) -> None:
    """Ours stay ours: the artifact has them too, as they were."""
    folder = f"sweepmaker/{above}mine"
    write(
        tmp_path,
        {
            "sweepmaker/__init__.py": "raise ImportError",
            "sweepmaker/config/errors.py": "raise ImportError",
            "sweepmaker/models/networks.py": "raise ImportError",
            "sweepmaker/helpers_of_mine.py": "WIDTH = 3\n",
            f"{folder}/__init__.py": "from .net import Net\n",
            f"{folder}/parts.py": "DEPTH = 2\n",
            f"{folder}/net.py": "from sweepmaker.config.errors import UserError\n"
            "from sweepmaker.helpers_of_mine import WIDTH\n"
            "from sweepmaker.models.networks import build_network\n"
            "from .parts import DEPTH\n"
            "import sys\nsys.times = getattr(sys, 'times', 0) + 1\n"
            f"{NET}    size = (WIDTH, DEPTH, build_network.__name__, UserError.__name__)\n",
        },
    )
    target = f"{folder.replace('/', '.')}.net.Net"
    assert built_elsewhere(tmp_path, target, "print((*network.size, sys.times))") == str(
        (3, 2, "build_network", "UserError", 1)
    )


def test_a_folder_that_is_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a package has imported already is not run once more."""
    files = {
        "__init__.py": "from .net import Net\n",
        "net.py": f"import sys\nsys.times_here = getattr(sys, 'times_here', 0) + 1\n{NET}",
    }
    write(tmp_path, {f"code/sweepmaker/from_here/{name}": text for name, text in files.items()})
    monkeypatch.chdir(tmp_path)
    own_module.build(Path("code"), {"target": "sweepmaker.from_here.net.Net"}, 0)
    monkeypatch.chdir("/")
    assert sys.times_here == 1  # type: ignore[attr-defined]


def test_a_lone_file_replaces_no_module_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "types", types)  # undone afterwards
    write(tmp_path, {"types.py": f"{NET}\n\nclass Other: pass\n"})
    network: Any = own_module.build(tmp_path, {"target": "bigpkg.nets.types.Net"}, 0)
    assert network.trained
    assert sys.modules["types"] is types
    assert type(network).__module__ in sys.modules  # as dataclasses and pickle want it
    assert sys.modules.pop(type(network).__module__).__file__ == str(tmp_path / "types.py")


@pytest.mark.parametrize(
    ("file", "target"),
    [("broken.py", "bigpkg.broken.Net"), ("sweepmaker/models/broken.py", "sweepmaker.models.broken.Net")],
    ids=["alone", "beside ours"],
)
def test_what_cannot_be_loaded_leaves_no_half(file: str, target: str, tmp_path: Path) -> None:
    write(tmp_path, {file: f"{NET}\nraise OSError('no such table')\n"})
    before = set(sys.modules)
    with pytest.raises(UserError, match="no such table"):
        own_module.build(tmp_path, {"target": target}, 0)
    assert not [name for name in set(sys.modules) - before if "broken" in name]


def test_what_cannot_be_loaded_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = types.ModuleType("sweepmaker.models.broken")
    monkeypatch.setitem(sys.modules, ours.__name__, ours)
    write(tmp_path, {"sweepmaker/models/broken.py": "raise OSError('no such table')\n"})
    with pytest.raises(UserError, match="no such table"):
        own_module.build(tmp_path, {"target": f"{ours.__name__}.Net"}, 0)
    assert sys.modules[ours.__name__] is ours
