"""Operators: each counts once, and the recording ends when it has what it wants."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch.autograd import DeviceType

from sweepmaker.profiler.clock import NO_STEP, StepClock
from sweepmaker.profiler.phases import Phases
from sweepmaker.profiler.profile import OPERATORS
from sweepmaker.profiler.trace import TRACE, Trace, operators
from tests.profiler.planted import Data, Net


@pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")
def test_steps_after_the_recording_are_like_the_others(tmp_path: Path) -> None:
    """Steps that are all unusual have no median, which rules about durations need."""
    phases = Phases()
    clock, trace = StepClock(phases, keep=True), Trace(tmp_path, 2)
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, profiler=phases, callbacks=[clock, trace], default_root_dir=tmp_path,
    )  # fmt: skip
    trainer.fit(Net(), Data(count=160, batch_size=1))
    usual = [not unusual for _, images, unusual in clock.drain() if images != NO_STEP]
    # the one that begins the epoch, ten that are skipped, two to warm up, two that are recorded
    assert len(usual) == 160 and usual.count(True) == 145 and all(usual[15:])
    found = json.loads((tmp_path / OPERATORS).read_text())
    assert found["cpu"] and found["gpu"] == [] and found["total"]["cpu"] > 0
    assert (tmp_path / TRACE).stat().st_size > 1000


def row(key: str, device: DeviceType, cpu: float, gpu: float, named: bool = False) -> Any:
    return SimpleNamespace(key=key, count=1, device_type=device, self_cpu_time_total=cpu,
                           self_device_time_total=gpu, is_user_annotation=named)  # fmt: skip


def test_a_kernel_counts_once() -> None:
    """As torch tells them: the operator has its kernel's time as well, a named range that of all in it."""
    tables = operators([
        row("aten::mm", DeviceType.CPU, 40.0, 900.0), row("sgemm", DeviceType.CUDA, 0.0, 900.0),
        row("aten::add", DeviceType.CPU, 10.0, 100.0), row("add_kernel", DeviceType.CUDA, 0.0, 100.0),
        row("my range", DeviceType.CUDA, 0.0, 1000.0, named=True),
    ])  # fmt: skip
    assert [(each["name"], each["percent"]) for each in tables["gpu"]] == [("sgemm", 90), ("add_kernel", 10)]
    assert [each["name"] for each in tables["cpu"]] == ["aten::mm", "aten::add"]
    assert tables["total"] == {"cpu": 50.0, "gpu": 1000.0}


def test_rows_are_what_torch_gives() -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        torch.ones(8, 8) @ torch.ones(8, 8)
    for each in profiler.key_averages():
        assert hasattr(each, "is_user_annotation") and hasattr(each, "self_device_time_total")
        assert each.device_type == DeviceType.CPU
