"""A network cut in two before its last layer: the backbone's features, and what they follow from."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn

from sweepmaker.models.frozen import fingerprint


class NotSeparable(Exception):
    """The network's logits do not follow from one vector an image; the message says why."""


class Backbone:
    """Everything before the head, which is given a vector of D features an image.

    Args:
        network: what comes before the head is in eval mode.
        head: name of the layer that makes the logits.
        others: there may be no further one.

    Raises:
        NotSeparable: the head takes no vectors, or there are several.
    """

    def __init__(self, network: nn.Module, head: str, *others: str) -> None:
        if others:
            raise NotSeparable("the network has two heads")
        layer = network.get_submodule(head)
        if not isinstance(layer, nn.Linear):
            raise NotSeparable(f"{head} is a {type(layer).__name__}, which takes more than a vector an image")
        self._network = network
        self._head = layer
        self._name = head
        self._is_last = False  # as far as is known
        self.width = layer.in_features

    @torch.no_grad()  # not inference mode: the head, which trains, keeps what it is given
    def __call__(self, images: Tensor) -> Tensor:
        """Features [B, D] of normalised images [B, 3, H, W].

        Raises:
            NotSeparable: the head is not the last thing that happens, or sees other than one vector an image.
        """
        seen: list[Tensor] = []
        caller = threading.get_ident()

        def look(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
            if threading.get_ident() == caller:  # others may compute features at the same time
                seen.append(given[0])

        handle = self._head.register_forward_pre_hook(look)
        try:
            logits = self._network(images)
        finally:
            handle.remove()
        if len(seen) != 1 or seen[0].shape != (len(images), self.width):
            raise NotSeparable(f"{self._name} sees more than one vector an image")
        if not self._is_last:
            if not torch.allclose(self._head(seen[0]), logits, rtol=0, atol=0, equal_nan=True):
                raise NotSeparable(f"{self._name} is not the last layer")
            self._is_last = True
        return seen[0]

    def fingerprint(self) -> str:
        """SHA-256 in hex of every weight and buffer before the head."""
        own = f"{self._name}."
        state = self._network.state_dict()
        return fingerprint({name: value for name, value in state.items() if not name.startswith(own)})
