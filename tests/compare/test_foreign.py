"""What a run of another Hydra program was judged by: a direction belongs to the metric it stands beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweepmaker.compare.reading import read

CHECKPOINT = "callbacks: {model_checkpoint: {monitor: val/acc, mode: max}}\n"


@pytest.mark.parametrize(
    ("config", "name", "mode", "value"),
    [
        (CHECKPOINT, "val/acc", "max", 0.75),
        (CHECKPOINT + "optimized_metric: val/loss\n", "val/loss", "min", 0.25),
        (CHECKPOINT + "optimized_metric: val/acc_best\n", "val/acc", "max", 0.75),
        (CHECKPOINT + "optimized_metric: val/other\n", "val/other", "max", 9.0),
        (
            "callbacks: {checkpoint: {monitor: val/loss}, early_stopping: {monitor: val/acc, mode: max}}",
            "val/loss", "min", 0.25,
        ),
        ("callbacks: {model_checkpoint: {monitor: val/other}}", "val/other", "min", 3.0),  # Lightning's own
        (CHECKPOINT + "objective: {name: val/loss}\n", "val/loss", "min", 0.25),
        (CHECKPOINT + "objective: {name: val/other, mode: min}\n", "val/other", "min", 3.0),
        ("monitor: val/acc\noptimized_metric: ${monitor}\n" + CHECKPOINT, "val/acc", "max", 0.75),
        ("optimized_metric: ${no.such}\n" + CHECKPOINT, "val/acc", "max", 0.75),
        ("a: 1\n", "val/acc", "max", 0.75),  # logged with its best so far
    ],
)  # fmt: skip
def test_metric_and_direction_are_one_pair(
    config: str, name: str, mode: str, value: float, tmp_path: Path
) -> None:
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text(config)
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,val/loss,val/acc,val/acc_best,val/other\n0,1,0.5,0.5,0.5,3.0\n1,2,0.25,0.75,0.75,9.0\n"
    )
    run = read(tmp_path)
    assert run.objective is not None
    assert (run.objective.name, run.objective.mode, run.value) == (name, mode, value)
