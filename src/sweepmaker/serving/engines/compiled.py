"""torch.compile on a GPU: the folded network, in bfloat16 where the GPU has it."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn

from sweepmaker.run.disk import reason
from sweepmaker.serving.engines.base import Unavailable
from sweepmaker.serving.engines.eager import folded


class Compiled:
    """Compiled for batches of 1, 8 and ``most`` images; others are filled up to the next of them.

    Args:
        network: in eval mode.
        size: of images, px.
        most: images computed together.
        channels_last: the layout of its weights and images.
        backend: torch.compile's.
        device: ``cuda``; ``cpu`` in tests.

    Raises:
        Unavailable: the network cannot be compiled here.
    """

    name = "compile"

    def __init__(
        self,
        network: nn.Module,
        size: int,
        *,
        most: int = 32,
        channels_last: bool = True,
        backend: str = "inductor",
        device: str = "cuda",
    ) -> None:
        self.device = device
        self._most = most
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self._reduced = device == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        network = folded(network, size).to(device)
        if channels_last:
            network.to(memory_format=torch.channels_last)
        self._lock = threading.Lock()
        self._network: Any = torch.compile(network, backend=backend, dynamic=False)
        try:
            for count in self.sizes():
                self(torch.zeros(count, 3, size, size))
        except Exception as error:  # no compiler, no Triton, an operator that it lacks
            raise Unavailable(f"torch.compile does not take it: {reason(error)[:200]}") from error

    def sizes(self) -> list[int]:
        """Batch sizes that it is compiled for, images."""
        return sorted({1, min(8, self._most), self._most})

    @torch.inference_mode()
    def __call__(self, batch: Tensor) -> Tensor:
        return torch.cat([self._part(part) for part in torch.split(batch, self.sizes()[-1])])

    def _part(self, batch: Tensor) -> Tensor:
        count = len(batch)
        full = next(size for size in self.sizes() if size >= count)
        if full > count:
            batch = torch.cat([batch, batch.new_zeros(full - count, *batch.shape[1:])])
        batch = batch.to(self.device).contiguous(memory_format=self._format)
        with self._lock, torch.autocast(self.device, torch.bfloat16, enabled=self._reduced):
            logits: Tensor = self._network(batch)
        return logits[:count].float().cpu()
