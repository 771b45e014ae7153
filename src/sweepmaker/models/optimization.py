"""Hydra partials turned into the optimizer and the schedule of one run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer

from sweepmaker.config.errors import ConfigError

INTERVALS = ("auto", "step", "epoch")

# What schedules call their length, in steps of the schedule.
_LENGTH_ARGUMENTS = ("total_steps", "T_max", "total_iters")

# What schedules call learning rates that they set in the place of the optimizer's.
_RATE_ARGUMENTS = ("max_lr", "base_lr")


def parameter_groups(
    network: nn.Module, heads: Sequence[str] = (), backbone_lr: float = 1.0
) -> list[dict[str, Any]]:
    """Parameters that train at some time of the run: matrices and kernels, then what is not decayed.

    Biases and the scales and shifts of normalisation layers (everything with one dimension) get no
    weight decay: it would pull them to zero without making the network any simpler.

    Args:
        network: whose parameters.
        heads: names of the layers that make the logits; with them all other layers are groups of their
            own, and everything is taken, whether or not it trains at the moment.
        backbone_lr: share of the learning rate for those other layers.

    Returns:
        groups with ``lr_scale``, the share of the learning rate.
    """
    if not heads:
        return _by_decay([p for p in network.parameters() if p.requires_grad], 1.0)
    of_heads = {id(p) for name in heads for p in network.get_submodule(name).parameters()}
    head = [p for p in network.parameters() if id(p) in of_heads]
    backbone = [p for p in network.parameters() if id(p) not in of_heads]
    return _by_decay(head, 1.0) + _by_decay(backbone, backbone_lr)


def _by_decay(parameters: list[nn.Parameter], lr_scale: float) -> list[dict[str, Any]]:
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    plain = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "lr_scale": lr_scale},
        {"params": plain, "weight_decay": 0.0, "lr_scale": lr_scale},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(partial: functools.partial[Optimizer], groups: list[dict[str, Any]]) -> Optimizer:
    """Call the optimizer's partial with our parameter groups; each has its share of the learning rate.

    Raises:
        ConfigError: the optimizer doesn't take its settings.
    """
    try:
        optimizer = partial(groups)
    except (TypeError, ValueError) as error:
        raise _refused("optimizer", partial, error) from error
    for group in optimizer.param_groups:
        group["lr"] *= group["lr_scale"]
    return optimizer


def build_schedule(
    partial: functools.partial[Any], optimizer: Optimizer, trainer: Trainer, interval: str
) -> dict[str, Any]:
    """Call the schedule's partial and wrap it as Lightning's ``lr_scheduler`` entry.

    A schedule whose length is an argument (``total_steps`` of OneCycleLR, ``T_max`` of
    CosineAnnealingLR, ``total_iters`` of PolynomialLR) gets the run's own length there, unless the
    config sets a number.

    Args:
        partial: takes the optimizer; its class says what its length is called.
        interval: ``step``, ``epoch``, or ``auto``: by step where the schedule has a length that the
            config leaves open, by epoch otherwise (StepLR's ``step_size`` counts epochs then).

    Raises:
        ConfigError: the schedule doesn't take its settings, or the run's length is unknown.
    """
    takes = inspect.signature(partial.func).parameters
    length = next((name for name in _LENGTH_ARGUMENTS if name in takes), None)
    is_open = length is not None and partial.keywords.get(length) is None
    if interval == "auto":
        interval = "step" if is_open else "epoch"
    settings: dict[str, Any] = {str(length): _run_length(trainer, interval)} if is_open else {}
    settings |= _rates_by_group(partial, optimizer)
    try:
        schedule = partial(optimizer, **settings)
    except (TypeError, ValueError) as error:
        raise _refused("scheduler", partial, error) from error
    return {"scheduler": schedule, "interval": interval, "monitor": "valid/loss"}


def _rates_by_group(partial: functools.partial[Any], optimizer: Optimizer) -> dict[str, list[float]]:
    """Rates that a schedule sets itself (OneCycleLR, CyclicLR), with each group's share of them."""
    scales = [group["lr_scale"] for group in optimizer.param_groups]
    if set(scales) == {1.0}:
        return {}
    rates = {name: partial.keywords[name] for name in _RATE_ARGUMENTS if name in partial.keywords}
    return {name: [rate * scale for scale in scales] for name, rate in rates.items()}


def _run_length(trainer: Trainer, interval: str) -> int:
    if interval == "step":
        length = trainer.estimated_stepping_batches
    else:
        length = trainer.max_epochs if trainer.max_epochs is not None else -1
    if length == float("inf") or length < 1:
        raise ConfigError(
            "this schedule needs a run of known length",
            key="scheduler",
            allowed="any with epochs of at least 1; scheduler=none without an end",
            fix="epochs=10",
        )
    return int(length)


def _refused(key: str, partial: functools.partial[Any], error: Exception) -> ConfigError:
    name = getattr(partial.func, "__name__", str(partial.func))
    return ConfigError(
        f"{name} does not take its settings: {error}",
        key=key,
        allowed=f"the arguments of {name}{inspect.signature(partial.func)}",
    )
