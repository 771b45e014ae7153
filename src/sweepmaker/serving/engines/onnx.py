"""ONNX Runtime: the default on a CPU, about twice as fast as PyTorch for one image, the same numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sweepmaker.serving.engines.base import Unavailable
from sweepmaker.serving.engines.export import IMAGES, LOGITS, to_onnx


class Onnx:
    """ONNX Runtime's CPU provider in float32.

    Args:
        network: in eval mode, on the CPU.
        size: of images, px.
        threads: that it computes with.

    Raises:
        Unavailable: it is not installed, or the network cannot be exported.
    """

    name = "onnx"
    device = "cpu"

    def __init__(self, network: nn.Module, size: int, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise Unavailable("ONNX Runtime is not installed: pip install 'sweepmaker[serve]'") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3  # errors
        # workers stand side by side: a thread that spins takes another one's core
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = onnxruntime.InferenceSession(
                to_onnx(network, size), options, providers=["CPUExecutionProvider"]
            )
        except Unavailable:
            raise
        except Exception as error:  # its errors have no common class
            raise Unavailable(f"ONNX Runtime does not take the graph: {str(error)[:200]}") from error

    def __call__(self, batch: Tensor) -> Tensor:
        (logits,) = self._session.run([LOGITS], {IMAGES: batch.contiguous().numpy()})
        return torch.from_numpy(logits).float()
