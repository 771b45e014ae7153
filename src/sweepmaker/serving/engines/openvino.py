"""OpenVINO in bfloat16, where the CPU has instructions for it: two to three times PyTorch's speed."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from sweepmaker.run.environment import cpu_flags
from sweepmaker.serving.engines.base import Unavailable
from sweepmaker.serving.engines.export import to_onnx

INSTRUCTIONS = ("amx_bf16", "avx512_bf16")


class OpenVino:
    """OpenVINO's CPU plugin in bfloat16.

    Args:
        network: in eval mode, on the CPU.
        size: of images, px.
        threads: that it computes with.

    Raises:
        Unavailable: it is not installed, the CPU has no bfloat16, or the network cannot be exported.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, network: nn.Module, size: int, threads: int) -> None:
        if instruction() is None:
            raise Unavailable("the CPU has no instructions for bfloat16")
        try:
            import openvino
        except ImportError as error:
            raise Unavailable("OpenVINO is not installed: pip install 'sweepmaker[openvino]'") from error
        core = openvino.Core()
        # several processes would pin their threads to the same core
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False,
        }  # fmt: skip
        try:
            model = core.read_model(to_onnx(network, size))
            self._compiled: Any = core.compile_model(model, "CPU", settings)
            self._of_thread = threading.local()
        except RuntimeError as error:
            raise Unavailable(f"OpenVINO does not take the graph: {str(error)[:200]}") from error

    def __call__(self, batch: Tensor) -> Tensor:
        request = getattr(self._of_thread, "request", None)
        if request is None:  # one of them answers one caller at a time
            request = self._of_thread.request = self._compiled.create_infer_request()
        (logits,) = request.infer({0: batch.contiguous().numpy()}).values()
        return torch.from_numpy(logits.copy()).float()


def instruction() -> str | None:
    """The CPU's instructions for bfloat16; None where it has none."""
    return next((name for name in INSTRUCTIONS if name in cpu_flags()), None)
