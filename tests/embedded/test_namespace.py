"""A private /opt/ml, and trials on machines that have none."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.embedded import tree
from launchers.embedded.runtimes import linux, namespace
from launchers.embedded.runtimes.starter import Starter
from tests.embedded.trials import CHECKOUT, Trial

pytestmark = pytest.mark.skipif(not linux.HERE, reason="namespaces are for Linux")


def needs_namespace() -> None:
    """Skip the test where the kernel gives none: there the trial is told where its folder is."""
    if (reason := namespace.available()) is not None:
        pytest.skip(reason)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Starter]:
    root = tmp_path / "root"
    root.mkdir()
    found = Starter(root, Path(sys.executable))
    yield found
    found.close()


def test_without_a_zygote_each_trial_has_a_guard_of_its_own(runtime: Starter, tmp_path: Path) -> None:
    """As where there is no Linux."""
    runtime._forker = None
    trial = Trial(tmp_path / "job", "print('hello')")
    assert trial.run(runtime) == 0
    assert trial.text == "hello\n"
    assert runtime.zygote is None


def test_opt_ml_is_the_trials_own_and_the_rest_of_opt_is_there(runtime: Starter, tmp_path: Path) -> None:
    needs_namespace()
    before = sorted(os.listdir("/opt"))  # noqa: PTH208
    words = ("/bin/sh", "-c", "ls /opt; echo x > /opt/ml/model/weights; pwd")
    trial = Trial(tmp_path / "job", None, entrypoint=words)
    assert trial.run(runtime) == 0
    assert sorted(trial.text.split()) == sorted({*before, "ml", "/opt/ml"})
    assert (trial.ml / "model" / "weights").read_text() == "x\n"
    assert sorted(os.listdir("/opt")) == before  # noqa: PTH208
    assert sorted(path.name for path in trial.folder.iterdir()) == ["log", "ml"]


def test_writing_into_a_channel_does_not_reach_the_store(runtime: Starter, tmp_path: Path) -> None:
    needs_namespace()
    stored = tmp_path / "object"
    stored.write_text("stored\n")
    words = (
        "/bin/sh",
        "-c",
        "cd /opt/ml/input/data/train && chmod u+w a && echo new > a && cat a && echo b > b",
    )
    trial = Trial(tmp_path / "job", None, entrypoint=words)
    tree.channels(trial.ml, "train", [("a", stored)])
    assert trial.run(runtime) == 0
    assert trial.text == "new\n"
    assert stored.read_text() == "stored\n"
    assert sorted(path.name for path in trial.folder.iterdir()) == ["log", "ml"]


def test_without_one_the_trial_is_told_where_its_folder_is(runtime: Starter, tmp_path: Path) -> None:
    runtime.private = False
    script = (
        "import os, sys\nprint(os.environ['SM_MODEL_DIR'], os.environ['MINE'], *sys.argv[1:], sep='\\n')\n"
    )
    trial = Trial(
        tmp_path / "job",
        script,
        {"data": "/opt/ml/input/data/train", "other": "/opt/mlx /my/opt/ml"},
        {"MINE": "a:/opt/ml/code:/opt/ml"},
    )
    assert trial.run(runtime) == 0
    ml = str(trial.ml)
    assert trial.text.splitlines() == [
        f"{ml}/model",
        f"a:{ml}/code:{ml}",
        "--data",
        f"{ml}/input/data/train",
        "--other",
        "/opt/mlx /my/opt/ml",
    ]
    words = ("/bin/sh", "-c", "cat /opt/ml/input/config/checkpointconfig.json")
    assert Trial(tmp_path / "command", None, entrypoint=words).run(runtime) == 0


def test_a_machine_that_allows_none_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace, "__name__", "launchers.embedded.runtimes.no_such_module")
    assert "no_such_module" in (namespace.available.__wrapped__() or "")


def test_an_ordinary_user_gets_one_too(tmp_path: Path) -> None:
    """As root: the same in a process of another user, where that is allowed."""
    needs_namespace()
    if os.geteuid() != 0:
        pytest.skip("the tests run as an ordinary user")
    code = (
        "import ctypes, os, sys\nfrom pathlib import Path\n"
        "from launchers.embedded.runtimes import namespace\n"
        "ml = Path(sys.argv[1])\nos.chown(ml, 12345, 12345)\nos.chown(ml / 'kept', 12345, 12345)\n"
        "(ml / 'kept').chmod(0o444)\n"
        "os.setgroups([])\nos.setresgid(12345, 12345, 12345)\nos.setresuid(12345, 12345, 12345)\n"
        "ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as after a login: its /proc/self is its own\n"
        "try: namespace.enter(ml)\nexcept PermissionError as error: sys.exit(f'not here: {error}')\n"
        "Path('/opt/ml/new').write_text('x')\nprint(os.getuid())\n"
        "try: Path('/opt/ml/kept').write_text('y')\nexcept PermissionError: print('kept')\n"
    )
    ml = tmp_path / "job" / "ml"
    (ml / "input" / "data").mkdir(parents=True)
    (ml / "kept").write_text("x")
    for folder in (ml.parent, ml / "input", ml / "input" / "data"):
        os.chown(folder, 12345, 12345)
    for folder in ml.parents:
        if Path(tempfile.gettempdir()) in folder.parents:
            folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", code, str(ml)], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
    )
    if done.stderr.startswith("not here"):
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["12345", "kept"]
    assert (ml / "new").read_text() == "x"
