"""PyTorch itself: as the model was trained, or with its batch norms folded into the convolutions."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from sweepmaker.serving.engines.base import Unavailable


class Plain:
    """The network as it was trained; on a CPU its logits are those of training's evaluation, bit for bit.

    Args:
        network: in eval mode.
        device: ``cpu`` or ``cuda``.
        channels_last: the layout that training gives the networks it builds; a user's own has its own.
    """

    name = "plain"

    def __init__(self, network: nn.Module, device: str, *, channels_last: bool) -> None:
        self.device = device
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._network = network.to(device)
        if channels_last:
            self._network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        batch = batch.to(self.device).contiguous(memory_format=self._format)
        logits: Any = self._network(batch)
        if not isinstance(logits, Tensor):
            raise Unavailable(f"its forward returns a {type(logits).__name__}, not a tensor of logits")
        return logits.float().cpu()


class Eager(Plain):
    """The same with batch norms folded: the same numbers up to rounding, 1.1 to 1.4 times as fast.

    Raises:
        Unavailable: torch.fx cannot follow the network's forward.
    """

    name = "eager"

    def __init__(self, network: nn.Module, device: str, *, channels_last: bool) -> None:
        super().__init__(folded(network), device, channels_last=channels_last)


def folded(network: nn.Module) -> nn.Module:
    """A copy of ``network`` (in eval mode) with every batch norm folded into the convolution before it.

    Raises:
        Unavailable: torch.fx cannot follow its forward.
    """
    try:
        fused: nn.Module = fuse(copy.deepcopy(network))
    except Exception as error:  # tracing runs the forward with stand-ins, which may raise anything
        raise Unavailable(f"torch.fx cannot follow its forward ({type(error).__name__})") from error
    return fused.eval().requires_grad_(False)
