"""The network as an ONNX graph in memory: what ONNX Runtime and OpenVINO read. It takes about a second."""

from __future__ import annotations

import importlib.util
import io
import logging
import warnings
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
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
