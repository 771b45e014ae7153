"""What NVIDIA's driver says about this run's GPUs: utilisation and memory, by UUID."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any


class Gpus:
    """The GPUs that a run uses; one that vanishes leaves a gap until it is back.

    Args:
        places: numbers of the devices as torch counts them, within CUDA_VISIBLE_DEVICES; none: no GPU.
        uuids: of these devices, as torch tells them; where it does not, CUDA_VISIBLE_DEVICES is read.
        nvml: the module ``pynvml``; None: imported where it is needed.

    Attributes:
        names: of those that were found.
        uuids: of those that were found.
        problem: why there is nothing to read, or None.
    """

    def __init__(self, places: Sequence[int], nvml: Any = None, uuids: Sequence[str] = ()) -> None:
        self.names: list[str] = []
        self.uuids: list[str] = []
        self.problem: str | None = None
        self._handles: list[Any] = []
        self._nvml = nvml
        if not places:
            return
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
            for handle in _handles(self._nvml, places, uuids):
                self.names.append(_text(self._nvml.nvmlDeviceGetName(handle)))
                self.uuids.append(_text(self._nvml.nvmlDeviceGetUUID(handle)))
                self._handles.append(handle)
            if len(self._handles) < len(places):
                visible = os.environ.get("CUDA_VISIBLE_DEVICES")
                self.problem = (
                    f"the driver lists {len(self._handles)} of the run's {len(places)} GPUs "
                    f"(CUDA_VISIBLE_DEVICES={visible})"
                )
        except ImportError:
            self.problem = "the package nvidia-ml-py is not installed"
        except Exception as error:  # NVMLError of many kinds, and what a broken driver makes of them
            self.problem = f"NVML: {error}"

    def read(self) -> list[tuple[float | None, float | None]]:
        """(utilisation, memory in use) of each GPU, in percent; None for what cannot be read now."""
        return [
            (self._value(handle, self._busy), self._value(handle, self._memory)) for handle in self._handles
        ]

    def _value(self, handle: Any, of: Callable[[Any], float]) -> float | None:
        try:
            return of(handle)
        except Exception:  # lost, reset, or a counter that this GPU (a MIG slice, say) does not have
            return None

    def _busy(self, handle: Any) -> float:
        return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu)

    def _memory(self, handle: Any) -> float:
        # .memory of the utilisation is how busy the memory bus is, not how full the memory
        found = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        return 100.0 * float(found.used) / float(found.total)

    def close(self) -> None:
        """Let go of the driver."""
        if self._handles:
            self._handles = []
            self._nvml.nvmlShutdown()


def _handles(nvml: Any, places: Sequence[int], uuids: Sequence[str]) -> list[Any]:
    """Handles of the devices that torch calls ``places``.

    A number means one thing to CUDA, which counts the fastest first unless CUDA_DEVICE_ORDER says
    otherwise, and another to the driver, which counts by slot; a UUID means the same to both.
    """
    if uuids and all(uuids):
        found = [_by_uuid(nvml, uuid) for uuid in uuids]
        return [handle for handle in found if handle is not None]
    return _chosen(nvml, places)


def _by_uuid(nvml: Any, uuid: str) -> Any:
    """Of a GPU, or of a part of one (MIG), which no list of the driver has; None: there is none."""
    plain = uuid.removeprefix("GPU-")  # torch writes none before it
    for name in dict.fromkeys((uuid, f"GPU-{plain}", f"MIG-{plain}")):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(name)
        except Exception:  # NVMLError of many kinds; the gap is told
            continue
    return None


def _every(nvml: Any) -> list[Any]:
    """Those that can be opened, as CUDA sees them too: others' GPUs may be forbidden, or lost."""
    handles = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handles.append(nvml.nvmlDeviceGetHandleByIndex(index))
        except Exception:  # NVMLError of many kinds; a gap among the run's own is told
            continue
    return handles


def _chosen(nvml: Any, places: Sequence[int]) -> list[Any]:
    """By CUDA_VISIBLE_DEVICES, whose numbers are taken for the driver's."""
    every = _every(nvml)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [every[place] for place in places if place < len(every)]
    known = {str(index): handle for index, handle in enumerate(every)}
    known |= {_text(nvml.nvmlDeviceGetUUID(handle)): handle for handle in every}
    handles = []
    for word in visible.split(","):
        # CUDA takes the beginning of a UUID too, and stops at the first word that it does not know
        matches = [name for name in known if name == word.strip() or (
            word.strip().startswith("GPU-") and name.startswith(word.strip()))]  # fmt: skip
        if len(matches) != 1:
            break
        handles.append(known[matches[0]])
    return [handles[place] for place in places if place < len(handles)]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
