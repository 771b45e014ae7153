"""Hydra partials turned into the optimizer and the schedule of one run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable
from typing import Any

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer

from sweepmaker.config.errors import ConfigError

INTERVALS = ("auto", "step", "epoch")

# What schedules call their length, in steps of the schedule.
_LENGTH_ARGUMENTS = ("total_steps", "T_max", "total_iters")


def parameter_groups(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices and kernels, then what is not decayed.

    Biases and the scales and shifts of normalisation layers (everything with one dimension) get no
    weight decay: it would pull them to zero without making the network any simpler.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    decayed = [parameter for parameter in trainable if parameter.ndim > 1]
    plain = [parameter for parameter in trainable if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed},
        {"params": plain, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def build_optimizer(partial: functools.partial[Optimizer], parameters: Iterable[nn.Parameter]) -> Optimizer:
    """Call the optimizer's partial with our parameter groups.

    Raises:
        ConfigError: the optimizer doesn't take its settings.
    """
    try:
        return partial(parameter_groups(parameters))
    except (TypeError, ValueError) as error:
        raise _refused("optimizer", partial, error) from error


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
    settings = {str(length): _run_length(trainer, interval)} if is_open else {}
    try:
        schedule = partial(optimizer, **settings)
    except (TypeError, ValueError) as error:
        raise _refused("scheduler", partial, error) from error
    return {"scheduler": schedule, "interval": interval, "monitor": "valid/loss"}


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
