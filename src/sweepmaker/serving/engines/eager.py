"""PyTorch itself: as the model was trained, or with its batch norms folded into the convolutions."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from sweepmaker.run.disk import reason
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
        # a copy: `network` stays where the other engines take it from
        self._network = network if device == "cpu" else copy.deepcopy(network).to(device)
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
    """The same with batch norms folded: the same numbers up to rounding, 1.1 to 1.4 times as fast."""

    name = "eager"

    def __init__(self, network: nn.Module, size: int, device: str, *, channels_last: bool) -> None:
        super().__init__(folded(network, size), device, channels_last=channels_last)


def folded(network: nn.Module, size: int) -> nn.Module:
    """A copy of ``network`` (in eval mode, on the CPU), batch norms folded into the convolutions before them.

    Which one is before which is seen while an image of ``size`` px passes, so a forward may be written in
    any way. That a convolution's output goes nowhere else is not seen: the agreement check is for that.

    Raises:
        Unavailable: it cannot be copied or changed (a convolution with a parametrised weight, say).
    """
    try:
        network = copy.deepcopy(network)
        for conv_name, norm_name in _pairs(network, size):
            _fold(network, conv_name, norm_name)
    except Exception as error:  # of a user's own network anything
        raise Unavailable(f"its batch norms cannot be folded: {reason(error)[:200]}") from error
    return network.eval().requires_grad_(False)


def _fold(network: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = network.get_submodule(conv_name), network.get_submodule(norm_name)
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    rest = _without_norm(norm)
    if rest is not None:
        network.set_submodule(conv_name, fuse_conv_bn_eval(conv, norm))
        network.set_submodule(norm_name, rest)


def _pairs(network: nn.Module, size: int) -> list[tuple[str, str]]:
    """Names of convolutions and of the batch norms that take their output, each called once."""
    outputs: dict[int, tuple[str, Tensor]] = {}  # by id; kept, so that no other tensor gets the same
    found: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()

    def after(name: str, output: Tensor) -> None:
        calls[name] += 1
        outputs[id(output)] = name, output

    def before(name: str, given: Tensor) -> None:
        calls[name] += 1
        if id(given) in outputs:
            found.append((outputs[id(given)][0], name))

    handles = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(lambda _, __, out, name=name: after(name, out)))
        elif isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            handles.append(
                module.register_forward_pre_hook(lambda _, given, name=name: before(name, given[0]))
            )
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, norm) for conv, norm in found if calls[conv] == calls[norm] == 1]


def _without_norm(norm: nn.BatchNorm2d) -> nn.Module | None:
    """What is left of a layer whose batch norm is folded; None where that is not known."""
    if type(norm) is nn.BatchNorm2d:
        return nn.Identity()
    drop, act = getattr(norm, "drop", None), getattr(norm, "act", None)  # timm's BatchNormAct2d
    if isinstance(drop, nn.Module) and isinstance(act, nn.Module):
        return nn.Sequential(drop, act)
    return None
