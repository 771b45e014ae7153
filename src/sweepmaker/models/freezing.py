"""Which parts of a network train, and which stand still: ``finetune`` = full, head, blocks or gradual."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from sweepmaker.config.errors import ConfigError

MODES = ("full", "head", "blocks", "gradual")


def blocks_of(network: nn.Module, heads: tuple[str, ...]) -> list[str]:
    """Names of the parts that follow each other up to the head, first to last.

    The children of the network in the order in which they were made, which is the order in which images
    pass them in torchvision's and timm's classifiers; where a child is a sequence (``features`` of an
    EfficientNet, ``layer1`` of a ResNet) or holds one (``encoder`` of a ViT), its members. What has no
    weights is left out, and so are the heads.
    """
    return [
        name
        for name in _members(network, "")
        if name not in heads and next(network.get_submodule(name).parameters(), None) is not None
    ]


def _members(module: nn.Module, name: str) -> Iterator[str]:
    for child_name, child in module.named_children():
        whole = f"{name}.{child_name}" if name else child_name
        if isinstance(child, nn.Sequential | nn.ModuleList):
            yield from (f"{whole}.{member}" for member, _ in child.named_children())
        elif any(isinstance(part, nn.Sequential | nn.ModuleList) for part in child.children()):
            yield from _members(child, whole)
        else:
            yield whole


class Freezing:
    """What of a network trains in which epoch.

    What stands still takes no gradient and stays in eval mode: its batch norms keep their statistics
    and its dropout is off.

    Args:
        network: with its head.
        heads: names of the layers that make the logits.
        mode: one of `MODES`.
        blocks: with ``blocks``, so many parts before the head train with it.
        head_epochs: with ``gradual``, the head trains alone for so many epochs, then everything does.

    Raises:
        ConfigError: the network has fewer parts than ``blocks``.
    """

    def __init__(
        self, network: nn.Module, heads: tuple[str, ...], mode: str, *, blocks: int, head_epochs: int
    ) -> None:
        self._network = network
        self._heads = heads
        self._mode = mode
        self._head_epochs = head_epochs
        self._trained: list[nn.Module] = [network.get_submodule(name) for name in heads]
        self._still: list[nn.Module] = [network]
        if mode == "blocks":
            names = blocks_of(network, heads)
            if not 1 <= blocks < len(names):
                raise ConfigError(
                    f"the network has {len(names)} blocks before its head, {blocks} of them were to train",
                    key="model.blocks",
                    allowed=f"1 to {len(names) - 1}",
                    fix=None if blocks < 1 else "model.finetune=full to train all of them",
                )
            self._trained += [network.get_submodule(name) for name in names[-blocks:]]
            # only these: a dropout between what trains is in none of them
            self._still = [network.get_submodule(name) for name in names[:-blocks]]

    def is_partial(self, epoch: int) -> bool:
        """Whether something stands still in ``epoch``."""
        return self._mode in ("head", "blocks") or (self._mode == "gradual" and epoch < self._head_epochs)

    def apply(self, epoch: int) -> None:
        """Give gradients to what trains in ``epoch``, and to nothing else."""
        self._network.requires_grad_(not self.is_partial(epoch))
        for module in self._trained:
            module.requires_grad_(True)

    def set_modes(self, epoch: int) -> None:
        """Put what stands still in ``epoch`` into eval mode; call it when the network is in train mode."""
        if self.is_partial(epoch):
            for module in self._still:
                module.eval()
            for module in self._trained:
                module.train()

    def frozen_names(self) -> list[str]:
        """Names in the network's state dict of what never changes in this run."""
        if self._mode not in ("head", "blocks"):
            return []
        trained = {
            id(value) for module in self._trained for value in module.state_dict(keep_vars=True).values()
        }
        state = self._network.state_dict(keep_vars=True)
        return [name for name, value in state.items() if id(value) not in trained]
