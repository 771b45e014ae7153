"""Run folders as train.py leaves them, made in a moment: the files are real, the training is not."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONFIG = """\
lr: {lr}
batch_size: {batch_size}
seed: {seed}
objective:
  name: valid/top1
  mode: max
optimizer:
  _target_: torch.optim.AdamW
  lr: ${{lr}}
  weight_decay: 0.05
model:
  name: resnet18
  label_smoothing: 0.0
"""
COLUMNS = (
    "epoch,step,seconds,valid/loss,valid/top1,valid/top5,valid/f1,valid/top1_best,"
    "train/loss,train/top1,train/top5,train/f1,lr,test/loss,test/top1,test/top5,test/f1"
)


def curve(lr: float, seed: int, epochs: int) -> list[float]:
    """A learning curve that is best at lr=3e-3; every value has all its digits."""
    top = 0.97 - 0.08 * abs(math.log10(lr / 3e-3)) - 0.003 * seed
    return [
        float32(top * (1 - 0.6 * math.exp(-0.5 * (epoch + 1))) + 1e-3 * math.sin(7 * epoch + seed))
        for epoch in range(epochs)
    ]


def float32(value: float) -> float:
    """What a metric that torch computed is, as metrics.csv has it."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def metrics_csv(values: Sequence[float], lr: float = 1e-3) -> str:
    """A metrics.csv with these values of valid/top1, and a row of the test."""
    lines, best = [COLUMNS], -math.inf
    for epoch, value in enumerate(values):
        best = max(best, value)
        valid = [1.2 - value, value, min(1.0, value + 0.05), value - 0.01]
        train = [1.5 - value, value - 0.02, min(1.0, value + 0.02), value - 0.03]
        cells = [float32(valid[0]), *valid[1:2], *map(float32, valid[2:]), best, *map(float32, train)]
        place = f"{epoch},{90 * (epoch + 1)},{2.5 * (epoch + 1):.3f}"
        lines.append(f"{place},{','.join(map(repr, cells))},{lr * (1 - epoch / len(values))!r},,,,")
    test = ",".join(repr(float32(value)) for value in (1.3 - best, best - 0.01, best, best - 0.02))
    lines.append(f"{len(values)},{90 * len(values)},{2.5 * len(values) + 1:.3f},,,,,,,,,,,{test}")
    return "\n".join(lines) + "\n"


def record(values: Sequence[float], overrides: Sequence[str], **more: Any) -> dict[str, Any]:
    """A run.json."""
    return {
        "schema": 1,
        "state": "completed",
        "pid": 1,
        "host": "elsewhere",
        "heartbeat": "2026-11-23T10:05:00+00:00",
        "objective": {"name": "valid/top1", "mode": "max", "value": max(values, default=None)},
        "overrides": list(overrides),
        "seed": 0,
        "weights": {"source": "scratch", "reason": "model.weights=none"},
        "choices": {},
        "data": {"source": "digits", "fingerprint": "283940e6", "counts": {"train": 1437}},
        "git": {"commit": "d082003c1323c1eb04a1858d4fcf9c563dca9a12", "dirty": False},
        "versions": {"python": "3.11.7", "torch": "2.14.1"},
        "hardware": {"machine": "x86_64", "cpu": "AMD EPYC", "cores": 2, "gpus": []},
        "timing": {
            "start": "2026-11-23T10:00:00+00:00",
            "end": "2026-11-23T10:03:20+00:00",
            "fit_seconds": 190.0,
            "images_per_second": 251.739,
        },
        "job": None,
        "failure": None,
        **more,
    }


def make_run(
    folder: Path,
    *,
    lr: float = 1e-3,
    seed: int = 0,
    batch_size: int = 16,
    epochs: int = 8,
    overrides: Sequence[str] | None = None,
    values: Sequence[float] | None = None,
    **more: Any,
) -> Path:
    """One run folder; ``more`` are fields of its run.json."""
    values = curve(lr, seed, epochs) if values is None else values
    lines = [f"lr={lr!r}", f"batch_size={batch_size}", f"seed={seed}"] if overrides is None else overrides
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text("".join(f"- {json.dumps(line)}\n" for line in lines))
    (folder / ".hydra" / "config.yaml").write_text(CONFIG.format(lr=lr, seed=seed, batch_size=batch_size))
    (folder / "metrics.csv").write_text(metrics_csv(values, lr))
    (folder / "run.json").write_text(json.dumps(record(values, lines, **{"seed": seed, **more}), indent=2))
    return folder


def make_sweep(root: Path, rates: Sequence[float], seeds: Sequence[int] = (0,), **more: Any) -> list[Path]:
    """A multirun: one folder for each rate and seed, and multirun.yaml beside them."""
    root.mkdir(parents=True)
    (root / "multirun.yaml").write_text("hydra:\n  overrides:\n    task: []\n")
    pairs = [(lr, seed) for lr in rates for seed in seeds]
    return [
        make_run(root / str(number), lr=lr, seed=seed, batch_size=16 * (1 + number // len(seeds) % 3), **more)
        for number, (lr, seed) in enumerate(pairs)
    ]


def make_launch(root: Path, scales: Mapping[str, str], name: str = "sweep-1") -> None:
    """What launch.py keeps of a tuning job: its request, with the scale of each range."""
    ranges = [
        {"Name": key, "MinValue": "0.0001", "MaxValue": "0.1", "ScalingType": scale}
        for key, scale in scales.items()
    ]
    config = {"ParameterRanges": {"ContinuousParameterRanges": ranges}}
    request = {"HyperParameterTuningJobConfig": config}
    root.mkdir(parents=True, exist_ok=True)
    (root / "launch.json").write_text(json.dumps({"name": name, "request": request}))
