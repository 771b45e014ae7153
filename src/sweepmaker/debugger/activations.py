"""Activations of sampled steps: hooks on modules by their type, there for one batch and gone again.

Hooks that stayed would travel with copies of the network (EMA) and into its artifact. A compiled module
is left alone: a hook added after its first call never fires, and one added before breaks its graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sweepmaker.debugger.observations import INACTIVITY

TYPES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu", nn.ReLU6: "relu", nn.Threshold: "relu",
    nn.SiLU: "silu", nn.GELU: "silu", nn.Hardswish: "silu", nn.Mish: "silu",
    nn.Sigmoid: "sigmoid", nn.Hardsigmoid: "sigmoid",
    nn.Tanh: "tanh", nn.Hardtanh: "tanh",
}  # fmt: skip
WINDOW = 128
"""Images over which a unit is judged: one of 16 that happens not to need it says nothing."""
_SILENT = 1e-3  # a SiLU or GELU gives less than this in size: as good as off
_HARD = {nn.Hardsigmoid: 3.0, nn.Hardtanh: 1.0}  # beyond this they have no slope at all


def is_compiled(module: nn.Module) -> bool:
    """Whether ``torch.compile`` has this module, as a wrapper or in place."""
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


class Activations:
    """Watches a module's activations; a state of its own between samples: the window of units.

    Args:
        module: the LightningModule.
        bounds: the SaturatedActivation rule's thresholds on inputs.

    Attributes:
        names: of the watched modules, below the module.
        types: a word of `TYPES` for each.
        compiled: some were left alone because they are compiled.
    """

    def __init__(self, module: nn.Module, bounds: Mapping[str, float]) -> None:
        self.names: list[str] = []
        self.types: list[str] = []
        self.compiled = False
        self._modules: list[nn.Module] = []
        self._dense: list[bool] = []  # behind a dense layer: units are on the last axis
        self._bounds = bounds
        self._handles: list[RemovableHandle] = []
        self._find(module, "", None)
        self._active: dict[int, Tensor] = {}  # sums over samples of each unit's share, float32 [units]
        self._samples: dict[int, int] = {}
        self._window: int | None = None  # samples; by the first batch, so that all processes agree
        self._first = False
        self._sampled: dict[int, dict[str, Tensor]] = {}

    def _find(self, module: nn.Module, name: str, before: nn.Module | None) -> None:
        if is_compiled(module):
            self.compiled = True
            return
        kind = TYPES.get(type(module))
        if kind is not None and module not in self._modules:
            self.names.append(name)
            self.types.append(kind)
            self._modules.append(module)
            self._dense.append(isinstance(before, nn.Linear))
        before = None
        for child, part in module.named_children():
            self._find(part, f"{name}.{child}" if name else child, before)
            if next(part.parameters(recurse=False), None) is not None and type(part) not in TYPES:
                before = part

    def begin(self, *, first: bool) -> None:
        """Watch the next forward pass; ``first``: the inputs' variance too."""
        self.stop()  # those of a batch that was skipped
        self._first = first
        self._sampled = {}
        for place, module in enumerate(self._modules):
            self._handles.append(module.register_forward_pre_hook(self._before(place)))
            self._handles.append(module.register_forward_hook(self._after(place)))

    def stop(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _before(self, place: int) -> Any:
        # before, since an activation in place overwrites its input
        def hook(module: nn.Module, given: tuple[Any, ...]) -> None:
            if not (torch.is_grad_enabled() and given and isinstance(given[0], Tensor)):
                return
            values = given[0]
            if not values.requires_grad or values.ndim < 2:
                return  # nothing below it trains
            with torch.no_grad():
                if self._first:
                    self._sampled.setdefault(place, {})["input_var"] = values.float().var()
                kind = self.types[place]
                if kind in ("sigmoid", "tanh"):
                    hard = _HARD.get(type(module))
                    low = -hard if hard else self._bounds[f"threshold_{kind}_min"]
                    high = hard if hard else self._bounds[f"threshold_{kind}_max"]
                    self._add(place, (values > low) & (values < high))

        return hook

    def _after(self, place: int) -> Any:
        def hook(module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
            if not (torch.is_grad_enabled() and isinstance(output, Tensor)):
                return
            if not output.requires_grad or output.ndim < 2:
                return
            with torch.no_grad():
                values = output.detach()
                size = values.abs()
                self._sampled.setdefault(place, {})["output_mean"] = size.mean(dtype=torch.float32)
                kind = self.types[place]
                if kind == "relu":
                    self._add(place, values > 0)
                elif kind == "silu":
                    self._add(place, size > _SILENT)

        return hook

    def _add(self, place: int, active: Tensor) -> None:
        """Add one batch, bool [B, C, ...], or [B, ..., C] behind a dense layer, to the window."""
        # [B, tokens, C] of transformers, [B, H, W, C] of ConvNeXt and Swin
        units = active.ndim - 1 if self._dense[place] or active.ndim == 3 else 1
        others = [axis for axis in range(active.ndim) if axis != units]
        # as bytes, which are added up twice as fast
        count = active.view(torch.uint8).sum(dim=others, dtype=torch.int32)
        share = count / (active.numel() / active.shape[units])
        if self._window is None:
            self._window = -(-WINDOW // len(active))
        known = self._active.get(place)
        if known is not None and known.shape == share.shape:
            self._active[place] = known + share
            self._samples[place] += 1
        else:
            self._active[place], self._samples[place] = share, 1

    def columns(self, device: torch.device) -> dict[str, Tensor]:
        """``output_mean``, ``output_seen`` and, in the first steps, ``input_var`` of the sampled pass."""
        missing = torch.tensor(torch.nan, device=device)
        names = ("output_mean", "input_var") if self._first else ("output_mean",)
        columns = {
            name: torch.stack([
                self._sampled.get(place, {}).get(name, missing) for place in range(len(self._modules))
            ])
            for name in names
        }  # fmt: skip
        seen = [float(place in self._sampled) for place in range(len(self._modules))]
        columns["output_seen"] = torch.tensor(seen, device=device)
        self._sampled = {}
        return columns

    def ready(self) -> dict[int, Tensor]:
        """The share of images in which each unit is active, of layers whose window is full and begins anew.

        Returns:
            position to float32 [units].
        """
        full = [place for place, samples in self._samples.items() if samples >= (self._window or 1)]
        return {place: self._active.pop(place) / self._samples.pop(place) for place in full}

    def state_dict(self) -> dict[str, Any]:
        """The windows that are not full yet."""
        return {
            "active": {str(place): units.detach().cpu() for place, units in self._active.items()},
            "samples": {str(place): samples for place, samples in self._samples.items()},
            "window": self._window,
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on with windows of an earlier process."""
        self._active = {int(place): units.to(device) for place, units in state["active"].items()}
        self._samples = {int(place): int(samples) for place, samples in state["samples"].items()}
        self._window = state["window"]


def inactive(share: Tensor) -> Tensor:
    """For each of `INACTIVITY` the share of units that are active less often; float32 [len(INACTIVITY)]."""
    edges = torch.tensor(INACTIVITY, device=share.device) / 100
    return (share.unsqueeze(0) < edges.unsqueeze(1)).float().mean(dim=1)
