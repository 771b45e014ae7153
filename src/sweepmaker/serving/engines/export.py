"""The network as an ONNX graph in memory: what ONNX Runtime and OpenVINO read. It takes about a second."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sweepmaker.run.disk import reason
from sweepmaker.serving.engines.base import Unavailable

IMAGES, LOGITS = "images", "logits"


def to_onnx(network: nn.Module, size: int) -> bytes:
    """The graph of ``network``, for any number of images of ``size`` px, batch norms folded.

    Traced: a forward that decides by what it sees becomes the way it took here, which the agreement
    check is there to notice.

    Raises:
        Unavailable: the package onnx is missing, or the network has what ONNX lacks.
    """
    if importlib.util.find_spec("onnx") is None:
        raise Unavailable("the package onnx is not installed: pip install 'sweepmaker[serve]'")
    graph: Any = io.BytesIO()
    sample = torch.zeros(2, 3, size, size)
    with _quietly():
        try:
            # the newer exporter needs a further package and ten times as long for the same graph
            torch.onnx.export(
                network, (sample,), graph, dynamo=False, input_names=[IMAGES], output_names=[LOGITS],
                dynamic_axes={IMAGES: {0: "n"}, LOGITS: {0: "n"}},
            )  # fmt: skip
        except Exception as error:  # a tracer stumbles in as many ways as there are networks
            logging.getLogger(__name__).debug("export", exc_info=True)
            raise Unavailable(f"it cannot be exported as ONNX: {reason(error)[:200]}") from error
    content: bytes = graph.getvalue()
    return content


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice, a graph on stdout when it fails, and attention that only PyTorch has."""
    internal: Any = torch._C
    say, fast = internal._jit_onnx_log, torch.backends.mha.get_fastpath_enabled()
    internal._jit_onnx_log = lambda *_: None
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        internal._jit_onnx_log = say
        torch.backends.mha.set_fastpath_enabled(fast)
