"""Two processes of one run on the CPU: one folder, one record, each metric line once."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from sweepmaker.metrics import line
from tests.integration.runs import TINY, train


@pytest.mark.slow
def test_two_processes_are_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(
        *TINY, "epochs=2", "data.limit.train=64", "trainer=ddp", "trainer.accelerator=cpu",
        "trainer.devices=2", f"hydra.run.dir={folder}", OMP_NUM_THREADS="",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "MEMBER: 2/2" in ended.err
    record = json.loads((folder / "run.json").read_text())
    assert (record["state"], record["failure"]) == ("completed", None)
    assert "2 processes of this run" in record["choices"]["threads"]["reason"]
    lines = ended.out.splitlines()
    assert all(text.startswith("[metric] ") and text.endswith(";") for text in lines)
    assert set(Counter(lines).values()) == {1}
    assert line.parse(ended.out, "valid/top1_best")[-1] == record["objective"]["value"]
    assert len(line.parse(ended.out, "train/loss")) == 2 and len(line.parse(ended.out, "test/top1")) == 1
    with (folder / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    assert [path.name for path in folder.glob("*.log")] == ["train.log"]
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == [".hydra"]
    assert (folder / "model" / "model.safetensors").exists()
