"""Leaks: of recorded series, and a real one, found by the counters of a GPU that is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sweepmaker.profiler import session
from sweepmaker.profiler.gpus import Gpus
from tests.profiler.planted import Net
from tests.profiler.recorded import judged, preset, profile
from tests.profiler.test_session import fit, summary

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


class Driver:
    """NVML of one GPU whose memory is this process's own: it grows with what the process keeps."""

    TOTAL = 2**30

    def __init__(self) -> None:
        self.process = psutil.Process()
        self.before = self.process.memory_info().rss

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return 0

    def nvmlDeviceGetName(self, handle: int) -> str:
        return "stand-in"

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return "GPU-0"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(gpu=90, memory=0)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        used = max(0, self.process.memory_info().rss - self.before)
        return SimpleNamespace(used=min(used, self.TOTAL), total=self.TOTAL)


@pytest.mark.slow
@pytest.mark.parametrize("leak", [2**20, 0], ids=["leaking", "healthy"])
def test_a_tensor_that_is_kept_from_step_to_step_is_found(
    leak: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "Gpus", lambda places, **_: Gpus([0], Driver(), uuids=["GPU-0"]))
    rule = "profiler.rules.GPUMemoryIncrease"
    fit(
        tmp_path,
        f"{rule}.patience_s=1",
        f"{rule}.window_s=2",
        f"{rule}.increase=3",  # a machine that is busy makes four times fewer steps in a window
        net=Net(nap=0.01, leak=leak),
        nap=0.0,
        count=3200,
    )
    found = summary(tmp_path)["rules"]["GPUMemoryIncrease"]
    assert found["looked"] and found["triggered"] is bool(leak), found


def test_a_leak_is_not_judged_before_there_are_two_windows() -> None:
    impatient = preset("sane", "profiler.rules.GPUMemoryIncrease.patience_s=1")
    young = judged(profile(impatient, seconds=29, memory=lambda t: 20 + 2 * t)).verdicts["GPUMemoryIncrease"]
    assert not young.looked and "no second window of 30 s" in young.sentence
    one = preset("sane", "profiler.rules.GPUMemoryIncrease.patience_s=0",
                 "profiler.rules.GPUMemoryIncrease.window_s=0.5")  # fmt: skip
    assert not judged(profile(one, seconds=0.5)).verdicts["GPUMemoryIncrease"].looked
    older = judged(profile(impatient, seconds=50, memory=lambda t: 20 + t))
    assert "GPUMemoryIncrease" in older.triggered


def test_looks_before_a_run_was_continued_count() -> None:
    """What was sampled then is gone, and the last seconds are too few to compare."""
    made = profile(preset(), seconds=300)
    while len(made.recent) > 10:
        made.recent.popleft()
    verdict = judged(made).verdicts["GPUMemoryIncrease"]
    assert verdict.looked and not verdict.triggered
    looks = made.rules["GPUMemoryIncrease"]["scans"]
    expected = f"It held in 0 of {looks} looks; at the end there is no second window"
    assert looks > 20 and expected in verdict.sentence
