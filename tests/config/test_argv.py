"""Quoting for Hydra's grammar, and ``resume=`` before Hydra sees the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError

PATHS = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=30).filter(
    lambda text: text.strip() == text
)


@given(PATHS.map("/runs/".__add__))
def test_hydra_reads_back_what_was_quoted(path: str) -> None:
    override = OverridesParser.create().parse_override(f"resume={argv.quote(path)}")
    assert not override.is_sweep_override()
    value = override.value()
    assert str(value) == path


def _run_folder(folder: Path, overrides: str) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(overrides)
    return folder


def test_resume_brings_the_runs_own_overrides(tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "a=b, c", "- +experiment=b2\n- lr=1e-3\n- resume=/an/older/one\n")
    prepared = argv.prepare(["train.py", f"resume={folder}", "epochs=3"])
    assert prepared[:4] == ["train.py", "+experiment=b2", "lr=1e-3", "epochs=3"]
    assert prepared[4:] == [f"resume='{folder}'", f"hydra.run.dir='{folder}'"]


def test_without_resume_nothing_changes() -> None:
    for arguments in (["train.py"], ["train.py", "lr=1"], ["train.py", "resume=null"]):
        assert argv.prepare(list(arguments)) == arguments


def test_resume_does_not_go_with_multirun(tmp_path: Path) -> None:
    folder = _run_folder(tmp_path / "run", "[]")
    with pytest.raises(ConfigError, match="does not go with -m"):
        argv.prepare(["train.py", "-m", f"resume={folder}"])


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"not the folder of a run"):
        argv.prepare(["train.py", f"resume={tmp_path}"])
