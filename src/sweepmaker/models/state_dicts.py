"""State dicts: read from a file without running anything in it, and put into a network."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import frozen
from sweepmaker.models.fetch import first_line
from sweepmaker.models.networks import head_names

_KEY = "model.weights"
_WRAPPERS = ("network.", "module.")  # a Lightning checkpoint of ours; DistributedDataParallel
_SHOWN = 3  # keys named in a message
# What the two readers raise on a file that is cut short, or not theirs, or not only tensors.
DAMAGE = (
    SafetensorError,
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from safetensors, a torch state dict, or a Lightning checkpoint.

    A folder means the ``model.safetensors`` in it, as a run's ``model/`` has it. Only tensors are
    unpickled (``weights_only``). The prefixes of wrapping modules are taken off.

    Raises:
        ConfigError: no such file, it is damaged, or it holds something else.
    """
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise ConfigError(
            f"no such file: {path}",
            key=_KEY,
            allowed="auto, none, a weights name, or a .safetensors or torch file that exists",
        )
    return _without_wrapper(_tensors(_load(path), path))


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> str:
    """Copy ``state`` into ``network``; a head of another size, or none, leaves the network's own.

    Args:
        origin: where the state came from, for messages.

    Returns:
        ``kept`` or ``new``: what the head has now.

    Raises:
        ConfigError: something other than the head is missing, unexpected or of another shape.
    """
    heads = tuple(f"{name}." for name in head_names(network))
    own = network.state_dict()
    head_fits = all(
        key in state and state[key].shape == tensor.shape
        for key, tensor in own.items()
        if key.startswith(heads)
    )
    if not head_fits:
        state = {key: tensor for key, tensor in state.items() if not key.startswith(heads)}
    reshaped = [key for key in own if key in state and state[key].shape != own[key].shape]
    fitting = {key: tensor for key, tensor in state.items() if key not in reshaped}
    # Not strict: torch fills in what old files lack (num_batches_tracked) before it compares.
    result = network.load_state_dict(fitting, strict=False)
    missing = [
        key for key in result.missing_keys if key not in reshaped and (head_fits or not key.startswith(heads))
    ]
    problems = {
        "missing": missing,
        "unexpected": result.unexpected_keys,
        "of another shape": reshaped,
    }
    if any(problems.values()):
        found = "; ".join(f"{len(keys)} {what} ({_some(keys)})" for what, keys in problems.items() if keys)
        raise ConfigError(
            f"{origin} does not fit this network: {found}",
            key=_KEY,
            allowed="weights of the same model.library and model.name; only the head may differ",
        )
    return "kept" if head_fits else "new"


def _load(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return frozen.complete(torch.load(path, map_location="cpu", weights_only=True), path.parent)
    except (*DAMAGE, frozen.Incomplete) as error:
        raise ConfigError(
            f"{path} can't be read as weights: {first_line(error)}",
            key=_KEY,
            allowed="safetensors, or what torch.load(weights_only=True) reads; anything else in a "
            "file could run code",
        ) from error


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ConfigError(
            f"{path} holds no state dict but a {type(content).__name__}",
            key=_KEY,
            allowed="tensors by name, or a Lightning checkpoint",
        )
    return content


def _without_wrapper(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _WRAPPERS:
        if any(key.startswith(prefix) for key in state):
            # A Lightning checkpoint may hold buffers beside the network; they are not the network.
            return {
                key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)
            }
    return state
