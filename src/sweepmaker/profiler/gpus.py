"""What NVIDIA's driver says about this run's GPUs: utilisation and memory, by UUID."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any


class Gpus:
    """The GPUs that a run uses; one that vanishes is left out from then on.

    Args:
        places: numbers of the devices as torch counts them, within CUDA_VISIBLE_DEVICES; none: no GPU.
        nvml: the module ``pynvml``; None: imported where it is needed.

    Attributes:
        names: of those that were found.
        uuids: of those that were found.
        problem: why there is nothing to read, or None.
    """

    def __init__(self, places: Sequence[int], nvml: Any = None) -> None:
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
            for handle in _chosen(self._nvml, places):
                self.names.append(_text(self._nvml.nvmlDeviceGetName(handle)))
                self.uuids.append(_text(self._nvml.nvmlDeviceGetUUID(handle)))
                self._handles.append(handle)
            if len(self._handles) < len(places):
                visible = os.environ.get("CUDA_VISIBLE_DEVICES")
                self.problem = f"not all of CUDA_VISIBLE_DEVICES={visible} are GPUs that the driver lists"
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


def _chosen(nvml: Any, places: Sequence[int]) -> list[Any]:
    """Handles of the devices that torch calls ``places``."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(place) for place in places]
    known: dict[str, Any] = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        known[str(index)] = known[_text(nvml.nvmlDeviceGetUUID(handle))] = handle
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
