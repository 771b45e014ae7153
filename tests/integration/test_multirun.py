"""``-m``: Hydra's basic launcher, joblib and submitit; folders, failures, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.runs import CHECKOUT, TINY, environment, train


def _states(sweep: Path) -> list[str]:
    return [json.loads(path.read_text())["state"] for path in sorted(sweep.glob("*/run.json"))]


@pytest.mark.parametrize("launcher", ["basic", "parallel", "submitit"])
def test_sweep(launcher: str, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    ended = train(
        "-m", *TINY, "debug=fast", "lr=1e-3,3e-3", f"hydra/launcher={launcher}", f"hydra.sweep.dir={sweep}"
    )
    assert ended.code == 0, ended.err
    assert (sweep / "multirun.yaml").exists()
    assert _states(sweep) == ["completed", "completed"]
    overrides = [json.loads(path.read_text())["overrides"][-1] for path in sorted(sweep.glob("*/run.json"))]
    assert overrides == ["lr=0.001", "lr=0.003"]


@pytest.mark.slow
def test_side_by_side_runs_share_the_cores(tmp_path: Path) -> None:
    ended = train(
        "-m", *TINY, "debug=fast", "seed=1,2", "hydra/launcher=parallel",
        f"hydra.sweep.dir={tmp_path / 'sweep'}", OMP_NUM_THREADS="",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    for path in (tmp_path / "sweep").glob("*/run.json"):
        choice = json.loads(path.read_text())["choices"]["threads"]
        assert "2 runs side by side" in choice["reason"]


def test_one_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    ended = train(
        "-m", *TINY, "debug=fast", "objective.name=valid/nothing,valid/top1", f"hydra.sweep.dir={sweep}"
    )
    assert ended.code == 1, ended.err
    assert _states(sweep) == ["failed", "completed"]
    assert "objective.name: no metric 'valid/nothing'" in ended.err
    assert "1 of 2 runs failed" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_fail_fast_stops_at_the_first(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    ended = train(
        "-m", *TINY, "debug=fast", "objective.name=valid/nothing,valid/top1", "fail_fast=true",
        f"hydra.sweep.dir={sweep}",
    )  # fmt: skip
    assert ended.code == 2, ended.err
    assert _states(sweep) == ["failed"]


@pytest.mark.slow
def test_two_runs_in_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECKOUT / "train.py"), *TINY, "debug=fast"]
    both = [
        subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err.decode()
    assert len(list(tmp_path.glob("outputs/*/*/run.json"))) == 2


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    from sweepmaker.run.folder import RunFolder

    folder = RunFolder(tmp_path / "run")
    folder.claim()
    ended = train(*TINY, f"hydra.run.dir={folder.path}")
    assert ended.code == 2
    assert "another run is writing" in ended.err
