"""The first moments of a run: a folder that is claimed has a run.json, whatever comes."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.run import environment, interrupt, task
from sweepmaker.run.folder import RunFolder

CFG = OmegaConf.create({"train": True, "seed": 3, "objective": {"name": "valid/top1", "mode": "max"}})


@pytest.fixture(autouse=True)
def _hydra(monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = SimpleNamespace(task=["lr=1", "resume=/x"])
    monkeypatch.setattr(task.HydraConfig, "get", lambda: SimpleNamespace(overrides=overrides))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run")


def content(folder: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(folder.record.read_text())
    return found


def test_the_first_run_json_waits_for_nothing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for slow in ("git", "versions", "hardware"):
        monkeypatch.setattr(environment, slow, lambda *_: pytest.fail("asked before run.json stands"))
    begun = task._begin(CFG, folder)
    found = content(folder)
    assert (found["state"], found["pid"]) == ("running", os.getpid())
    assert (found["overrides"], found["seed"]) == (["lr=1"], 3)
    assert found["objective"] == {"name": "valid/top1", "mode": "max", "value": None}
    assert isinstance(begun, tuple)
    begun[0].end("failed")
    folder.release()


def test_a_signal_while_the_folder_is_claimed_is_not_lost(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt.install()
    monkeypatch.setattr(RunFolder, "sweep", lambda _: os.kill(os.getpid(), signal.SIGTERM))
    begun = task._begin(CFG, folder)
    assert content(folder)["state"] == "running"
    assert interrupt.requested() == signal.SIGTERM
    assert isinstance(begun, tuple)
    begun[0].end("interrupted")
    folder.release()


def earlier(folder: RunFolder, **fields: Any) -> None:
    folder.path.mkdir()
    folder.record.write_text(json.dumps({"state": "interrupted", **fields}))


def test_what_the_process_before_found_out_is_kept(folder: RunFolder) -> None:
    known = {
        "weights": {"source": "torchvision", "name": "IMAGENET1K_V1"}, "timing": {"fit_seconds": 9.0},
        "choices": {"threads": {"value": 3}}, "git": {"commit": "abc"}, "versions": {"torch": "2"},
    }  # fmt: skip
    earlier(folder, **known)
    begun = task._begin(CFG, folder)
    found = content(folder)
    going_on = {**known, "timing": {"fit_seconds": 9.0, "end": None}}
    assert {name: found[name] for name in known} == going_on
    assert isinstance(begun, tuple)
    begun[0].end("failed")
    folder.release()


@pytest.mark.parametrize("before", ["abc", None])
def test_another_commit_is_told(
    before: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(environment, "git", lambda _: {"commit": "abc", "dirty": False})
    git = None if before is None else {"commit": before}
    task._surroundings({"git": git, "versions": {"torch": "2"}})
    task._surroundings({"git": None, "versions": {}})  # ended before it had asked
    task._surroundings(None)
    assert ("another commit" in caplog.text) == (before is None)
    assert len(caplog.records) == (before is None)


@pytest.mark.parametrize("state", ["completed", "stopped"])
@pytest.mark.parametrize("value", [0.5, None])
def test_a_run_that_is_over_stays_as_it_is(folder: RunFolder, state: str, value: float | None) -> None:
    earlier(folder, state=state, objective={"value": value})
    before = folder.record.read_text()
    assert task._begin(CFG, folder) == value
    assert folder.record.read_text() == before
    folder.release()


def test_a_broken_run_json_is_left_to_the_user(folder: RunFolder) -> None:
    folder.path.mkdir()
    folder.record.write_text("{")
    with pytest.raises(ConfigError, match=r"run\.json cannot be read"):
        task._begin(CFG, folder)
    assert folder.record.read_text() == "{"
    folder.release()
