"""What every way of computing logits has in common."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Engine(Protocol):
    """Logits of prepared images; several threads may ask at a time.

    Attributes:
        name: as the config has it.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    device: str

    def __call__(self, batch: Tensor) -> Tensor:
        """Logits float32 [N, C] on the CPU of normalised images float32 [N, 3, S, S]."""


class Unavailable(Exception):
    """This engine cannot compute this model here; the message says why."""
