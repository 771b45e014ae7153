"""Statistics of gradients, weights and updates: foreach operations on the device, nothing waits for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Columns: TypeAlias = dict[str, Tensor]
"""Name to float32 [n] on the device."""

_MOST_FOR_PERCENTILES = 10_000  # values of one gradient: sorting all of them would cost more than the step


class Trained:
    """Everything of a module that trains.

    Args:
        module: the LightningModule.

    Attributes:
        names: of the parameters that require a gradient, below the module.
    """

    def __init__(self, module: nn.Module) -> None:
        self._everything = list(module.parameters())
        self._states = [each.requires_grad for each in self._everything]
        found = [
            (name, each) for name, each in module.named_parameters() if each.requires_grad and each.numel()
        ]
        self.names = [name for name, _ in found]
        self._parameters = [each for _, each in found]
        self._sizes: dict[torch.device, Tensor] = {}
        self.shapes = [list(each.shape) for each in self._parameters]

    def is_current(self) -> bool:
        """Whether the same parameters still require a gradient: layers may be frozen and freed on the way."""
        return self._states == [each.requires_grad for each in self._everything]

    def of_optimizers(self, optimizers: Iterable[Optimizer]) -> set[int]:
        """Positions of the parameters that these optimizers have."""
        theirs = {id(each) for one in optimizers for group in one.param_groups for each in group["params"]}
        return {place for place, each in enumerate(self._parameters) if id(each) in theirs}

    @torch.no_grad()
    def gradients(
        self, *, percentiles: bool, scale: float = 1.0, without: Collection[int] = (),
        known: Mapping[str, Tensor] | None = None,
    ) -> Columns:  # fmt: skip
        """Of the gradients as they are now; NaN where a parameter has none, or one of another layout.

        Args:
            percentiles: ``grad_p5`` and ``grad_p95`` too.
            scale: what a gradient scaler has multiplied them with.
            without: positions that are another optimizer's.
            known: columns of optimizers that stepped before, which the others keep.
        """
        known = known or {}
        places = [
            place
            for place, each in enumerate(self._parameters)
            if place not in without and each.grad is not None and each.grad.layout == torch.strided
        ]
        if not places:
            return dict(known)
        gradients = [_dense(self._parameters[place].grad) for place in places]
        sizes = self._size(gradients[0].device)[places]
        columns = {
            "grad_mean": _norms(gradients, 1) / sizes,
            "grad_l2": _norms(gradients, 2),
            "grad_max": _largest(gradients),
            "grad_nonzero": _norms(gradients, 0) / sizes,
        }
        if percentiles:
            ends = torch.tensor([0.05, 0.95], device=sizes.device)
            both = torch.stack([torch.quantile(_thinned(each), ends) for each in gradients])
            columns |= {"grad_p5": both[:, 0], "grad_p95": both[:, 1]}
        if scale != 1:
            columns |= {name: column / scale for name, column in columns.items() if name != "grad_nonzero"}
        return {name: self._spread(column, places, known.get(name)) for name, column in columns.items()}

    @torch.no_grad()
    def copy(self) -> list[Tensor]:
        """The weights as they are now."""
        return [each.detach().clone() for each in self._parameters]

    @torch.no_grad()
    def weights(self, before: Sequence[Tensor], idle: Collection[int] = ()) -> Columns:
        """Of the weights ``before`` a step, and of what it has changed about them.

        Args:
            before: from `copy`.
            idle: positions whose optimizer did not step, so that their update says nothing: NaN.
        """
        if not before:
            return {}
        sizes = self._size(before[0].device)
        changes = torch._foreach_sub([each.detach() for each in self._parameters], list(before))
        sums = torch.stack([each.sum(dtype=torch.float32) for each in before])
        columns = {
            "weight_mean": _norms(before, 1) / sizes,
            "weight_var": (_norms(before, 2) ** 2 / sizes - (sums / sizes) ** 2).clamp_min(0),
            "update_mean": _norms(changes, 1) / sizes,
            "update_max": _largest(changes),
        }
        if idle:
            for name in ("update_mean", "update_max"):
                columns[name][list(idle)] = torch.nan
        return columns

    def _size(self, device: torch.device) -> Tensor:
        if device not in self._sizes:
            sizes = [each.numel() for each in self._parameters]
            self._sizes[device] = torch.tensor(sizes, dtype=torch.float32, device=device)
        return self._sizes[device]

    def _spread(self, column: Tensor, places: list[int], known: Tensor | None) -> Tensor:
        count = len(self._parameters)
        if len(places) == count:
            return column
        spread = torch.full((count,), torch.nan, device=column.device) if known is None else known.clone()
        spread[places] = column
        return spread


def _norms(tensors: Sequence[Tensor], order: float) -> Tensor:
    """Norms in float32, whatever the tensors are; order 0 counts what is not zero."""
    return torch.stack(list(torch._foreach_norm(list(tensors), order, dtype=torch.float32)))


def _largest(tensors: Sequence[Tensor]) -> Tensor:
    """Largest absolute values; NaN where there is one."""
    if tensors[0].device.type != "cpu":
        return _norms(tensors, float("inf"))
    # a CPU has nothing to launch, and its infinity norm takes ten times as long as this
    ends = torch.stack([torch.stack(each.aminmax()).float() for each in tensors])
    return ends.abs().amax(dim=1)


def _dense(gradient: Tensor | None) -> Tensor:
    assert gradient is not None
    return gradient.detach()


def _thinned(gradient: Tensor) -> Tensor:
    """At most `_MOST_FOR_PERCENTILES` values, evenly apart: no random numbers, which the run would miss."""
    values = gradient.flatten()
    return values[:: -(-values.numel() // _MOST_FOR_PERCENTILES)].float()
