"""The first seconds of a run: a signal before it trains, and a folder with something odd in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v3_small

from tests.integration.runs import TINY, environment, train


def test_a_signal_while_git_is_asked_leaves_a_run_json(tmp_path: Path) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text("#!/bin/sh\nkill -TERM $PPID\nsleep 5\n")
    git.chmod(0o755)
    folder = tmp_path / "run"
    path = f"{git.parent}:{environment()['PATH']}"
    ended = train(*TINY, "seed=7", f"hydra.run.dir={folder}", PATH=path)
    assert ended.code == 143, ended.err
    record = json.loads((folder / "run.json").read_text())
    assert (record["state"], record["seed"]) == ("interrupted", 7)
    assert record["overrides"][-1] == "seed=7"
    assert "Traceback" not in ended.err and f"resume={folder}" in ended.err


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"state": "failed", "timing": 3}'])
def test_a_broken_run_json_is_one_message(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(content)
    ended = train(*TINY, f"hydra.run.dir={folder}")
    assert ended.code == 2, ended.err
    assert f"error: hydra.run.dir: {folder / 'run.json'} cannot be read" in ended.err
    assert "remove that file" in ended.err and "Traceback" not in ended.err
    assert (folder / "run.json").read_text() == content


@pytest.mark.slow
def test_weights_that_a_checkpoint_replaces_are_not_needed(tmp_path: Path) -> None:
    file = tmp_path / "published.safetensors"
    torch.manual_seed(0)
    save_file(mobilenet_v3_small().state_dict(), file)
    options = [*TINY, "debug=fast", f"model.weights={file}"]
    first = tmp_path / "first"
    assert (ended := train(*options, f"hydra.run.dir={first}")).code == 0, ended.err
    record = json.loads((first / "run.json").read_text())
    assert record["weights"] == {"source": "file", "path": str(file), "head": "new"}
    file.unlink()
    # as if it had been killed after its last checkpoint
    (first / "run.json").write_text(json.dumps({**record, "state": "interrupted"}))
    assert (ended := train(f"resume={first}")).code == 0, ended.err
    assert json.loads((first / "run.json").read_text())["weights"] == record["weights"]
    second = tmp_path / "second"
    ended = train(*options, f"ckpt_path={first}", f"hydra.run.dir={second}")
    assert ended.code == 0, ended.err
    (best,) = (first / "checkpoints").glob("best-*.ckpt")
    weights = json.loads((second / "run.json").read_text())["weights"]
    assert weights == {"source": "checkpoint", "path": str(best)}
