"""Commit, versions, cores: what a result may depend on."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from sweepmaker.run import cgroup, environment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_no_commit_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment.git(tmp_path) is None


def test_no_commit_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.git(tmp_path) is None


def test_commit_and_whether_files_of_it_were_changed(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert environment.git(tmp_path) is None  # nothing committed yet
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "untracked").write_text("outputs, say")
    assert environment.git(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "file").write_text("2")
    assert environment.git(tmp_path) == {"commit": commit, "dirty": True}


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1),
     ("9000000 100000", 8), ("max 100000\n", 8), (None, 8)],
)  # fmt: skip
def test_a_container_s_quota_counts(
    quota: str | None, cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if quota is not None:
        (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(cgroup, "_MOUNT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert environment.available_cores() == cores


def test_what_goes_to_run_json_fits_into_json() -> None:
    found = json.loads(json.dumps([environment.hardware(), environment.versions()]))
    assert found[0]["cores"] >= 1 and found[0]["memory_gib"] > 0 and found[0]["cpu"]
    assert {"python", "torch", "lightning"} <= set(found[1])
