"""In CI a skipped test is a failure; elsewhere it is a skip that names the cure."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

SKIPPING = """
from tests.needs import needs_package
def test_passes(): pass
def test_needs(): needs_package("/nowhere/at-all", "dataset-fashion-mnist")
"""
EXPECTED_FAILURE = """
import pytest
@pytest.mark.xfail(reason="known")
def test_fails(): assert False
"""
MODULE_SKIP = """
import pytest
pytest.skip("the whole module", allow_module_level=True)
"""


def run_pytest(folder: Path, content: str, *, ci: bool, arguments: list[str]) -> tuple[int, str]:
    shutil.copy(TESTS / "conftest.py", folder / "conftest.py")
    (folder / "test_inner.py").write_text("def test_passes(): pass\n")
    (folder / "test_outer.py").write_text(content)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "CI"))}
    environment |= {"PYTHONPATH": str(TESTS.parent), "CI": "true" if ci else ""}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["one process", "xdist"])
def test_a_skip_fails_ci_with_its_reason(tmp_path: Path, arguments: list[str]) -> None:
    code, output = run_pytest(tmp_path, SKIPPING, ci=True, arguments=arguments)
    assert code == 1, output
    assert "apt-get install dataset-fashion-mnist" in output
    assert "1 skipped" in output.splitlines()[-1]


def test_a_skipped_module_fails_ci(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, MODULE_SKIP, ci=True, arguments=["-n", "1"])
    assert code == 1, output
    assert "the whole module" in output


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, EXPECTED_FAILURE, ci=True, arguments=[])[0] == 0


def test_a_skip_elsewhere_is_a_skip(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, SKIPPING, ci=False, arguments=[])
    assert code == 0, output
    assert "dataset-fashion-mnist" not in output or "skipped" in output
