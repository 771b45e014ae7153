"""A network cut in two before its last layer: the backbone's features, and what they follow from."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn


class NotSeparable(Exception):
    """The network's logits do not follow from one vector an image; the message says why."""


class Backbone:
    """Everything before the head, which is given a vector of D features an image.

    Args:
        network: in eval mode.
        head: name of the layer that makes the logits.

    Raises:
        NotSeparable: the head takes no vectors.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        layer = network.get_submodule(head)
        if not isinstance(layer, nn.Linear):
            raise NotSeparable(f"{head} is a {type(layer).__name__}, which takes more than a vector an image")
        self._network = network
        self._head = layer
        self._name = head
        self.width = layer.in_features

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Features [B, D] of normalised images [B, 3, H, W].

        Raises:
            NotSeparable: the head is not the last thing that happens, or sees other than one vector an image.
        """
        seen: list[Tensor] = []
        handle = self._head.register_forward_pre_hook(lambda layer, given: seen.append(given[0]))
        try:
            logits = self._network(images)
        finally:
            handle.remove()
        if len(seen) != 1 or seen[0].shape != (len(images), self.width):
            raise NotSeparable(f"{self._name} sees more than one vector an image")
        if not torch.equal(self._head(seen[0]), logits):
            raise NotSeparable(f"{self._name} is not the last layer")
        return seen[0]

    def fingerprint(self) -> str:
        """SHA-256 in hex of every weight and buffer before the head."""
        digest = hashlib.sha256()
        for name, value in sorted(self._network.state_dict().items()):
            if not name.startswith(f"{self._name}."):
                digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()
