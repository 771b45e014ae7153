"""GPUs by UUID as CUDA_VISIBLE_DEVICES says, and ones that vanish. NVML itself is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sweepmaker.profiler import facts
from sweepmaker.profiler.gpus import Gpus


class Nvml:
    """What the driver would answer on a machine with four GPUs of 24 GB."""

    def __init__(self) -> None:
        self.lost: set[int] = set()
        self.forbidden: set[int] = set()
        self.closed = 0

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None:
        self.closed += 1

    def nvmlDeviceGetCount(self) -> int:
        return 4

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index > 3:
            raise RuntimeError("Invalid Argument")
        if index in self.forbidden:
            raise RuntimeError("Insufficient Permissions")
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        known = {f"GPU-{index}aaa-bbb": index for index in range(4) if index not in self.forbidden}
        if uuid not in known | {"MIG-5eee-fff": 5}:
            raise RuntimeError("Not Found")
        return (known | {"MIG-5eee-fff": 5})[uuid]

    def nvmlDeviceGetName(self, handle: int) -> bytes | str:
        return b"NVIDIA A10G" if handle % 2 else "NVIDIA A10G"

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}aaa-bbb"

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if handle in self.lost:
            raise RuntimeError("GPU is lost")
        return SimpleNamespace(gpu=10 * handle, memory=99)

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(used=6 * 2**30, total=24 * 2**30)


@pytest.mark.parametrize(
    ("visible", "places", "found"),
    [
        (None, [0, 3], ["GPU-0aaa-bbb", "GPU-3aaa-bbb"]),
        ("2,1", [0, 1], ["GPU-2aaa-bbb", "GPU-1aaa-bbb"]),
        ("2,1", [1], ["GPU-1aaa-bbb"]),
        ("GPU-3aaa-bbb, GPU-0", [0, 1], ["GPU-3aaa-bbb", "GPU-0aaa-bbb"]),
        ("GPU-", [0], []),  # of several
        ("1,7,2", [0, 1], ["GPU-1aaa-bbb"]),  # CUDA stops at what it does not know
        ("", [0], []),
        (None, [], []),
    ],
)
def test_devices_are_those_that_torch_sees(
    visible: str | None, places: list[int], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = Gpus(places, Nvml())
    assert gpus.uuids == found
    assert (gpus.problem is None) == (len(found) == len(places))  # a gap is told with its reason


@pytest.mark.parametrize(
    ("uuids", "found"),
    [
        (["2aaa-bbb", "0aaa-bbb"], ["GPU-2aaa-bbb", "GPU-0aaa-bbb"]),  # as torch writes them
        (["GPU-3aaa-bbb"], ["GPU-3aaa-bbb"]),
        (["5eee-fff"], ["GPU-5aaa-bbb"]),  # a slice, whose handle the stand-in calls so
        (["1aaa-bbb", "9999"], ["GPU-1aaa-bbb"]),
        (["", ""], ["GPU-1aaa-bbb", "GPU-0aaa-bbb"]),  # torch does not say: as CUDA_VISIBLE_DEVICES has them
    ],
)
def test_a_uuid_counts_for_more_than_a_number(
    uuids: list[str], found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA's first device is the fastest one, the driver's is the one in the first slot."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    gpus = Gpus(range(len(uuids)), Nvml(), uuids=uuids)
    assert gpus.uuids == found
    assert (gpus.problem is None) == (len(found) == len(uuids))


def test_torch_tells_the_uuids(monkeypatch: pytest.MonkeyPatch) -> None:
    of_torch = {0: SimpleNamespace(uuid="2aaa-bbb"), 3: SimpleNamespace()}
    monkeypatch.setattr(facts.torch.cuda, "get_device_properties", of_torch.__getitem__)
    assert facts.gpu_uuids([0, 3]) == ["2aaa-bbb", ""] and facts.gpu_uuids([]) == []


def test_memory_is_what_is_in_use_not_how_busy_its_bus_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = Gpus([1, 2], Nvml())
    assert gpus.read() == [(10.0, 25.0), (20.0, 25.0)]
    assert gpus.names == ["NVIDIA A10G"] * 2 and gpus.problem is None


def test_a_gpu_that_vanishes_leaves_a_gap_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = Nvml()
    gpus = Gpus([1, 2], nvml)
    nvml.lost.add(1)
    assert gpus.read() == [(None, 25.0), (20.0, 25.0)]
    nvml.lost.clear()
    assert gpus.read()[0] == (10.0, 25.0)
    gpus.close()
    gpus.close()
    assert nvml.closed == 1 and gpus.read() == []


@pytest.mark.parametrize("uuids", [["0aaa-bbb", "3aaa-bbb"], []])
def test_a_gpu_that_is_somebody_elses_does_not_take_ours_along(
    uuids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a batch job the driver lists it and refuses to open it; CUDA does not count it."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvml = Nvml()
    nvml.forbidden = {1, 2}
    gpus = Gpus([0, 1], nvml, uuids=uuids)
    assert gpus.uuids == ["GPU-0aaa-bbb", "GPU-3aaa-bbb"] and gpus.problem is None
    assert gpus.read() == [(0.0, 25.0), (30.0, 25.0)]


def test_without_a_driver_the_reason_is_told() -> None:
    gpus = Gpus([0])  # the real package; there is no driver on a machine without a GPU
    assert gpus.read() == [] or gpus.uuids
    assert gpus.problem is None if gpus.uuids else "NVML" in str(gpus.problem)
