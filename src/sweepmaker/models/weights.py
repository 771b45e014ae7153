"""Where a network's first weights come from, and what is kept about it.

``model.weights`` is one of

- ``auto``: published weights where the cache or, within a time-out, the network has them; from
  scratch otherwise, said in one line on stderr;
- ``none`` (or null): from scratch;
- ``pretrained``: the library's best published weights, or an error;
- a torchvision weights name such as ``IMAGENET1K_V1``, or an error;
- ``efficientnet-lite2``: ImageNet weights from an installed package, for timm's
  ``tf_efficientnet_lite2``;
- a path: safetensors, a torch state dict, a Lightning checkpoint, or a run's ``model`` folder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torchvision.models
from torch import nn

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import lite2
from sweepmaker.models.fetch import UnobtainableError, fetch_from_hub, fetch_url, first_line
from sweepmaker.models.networks import (
    build_network,
    build_timm,
    build_torchvision,
    check_name,
    import_timm,
)
from sweepmaker.models.state_dicts import DAMAGE, load_into, read_state_dict

LITE2 = "efficientnet-lite2"

_KEY = "model.weights"
_FILE_ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_PUBLISHED_CLASSES = 1000


def initialised_network(
    architecture: Mapping[str, Any], weights: str | None, *, timeout_s: float
) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network and give it its first weights.

    Args:
        architecture: as ``build_network`` takes it.
        weights: see the module's docstring.
        timeout_s: how long to wait for the network, in seconds; 0 asks the cache only.

    Returns:
        The network, and what initialised it: ``source`` (``scratch``, ``torchvision``, ``timm``,
        ``file``, ``package``), then ``name``, ``path`` or ``reason``, and ``head`` (``kept``,
        ``new``).

    Raises:
        ConfigError: the network or the weights don't exist, don't fit, or can't be had.
    """
    check_name(architecture["library"], architecture["name"])
    if weights is None or weights == "none":
        reason = "model.weights=none"
        return build_network(architecture), {"source": "scratch", "reason": reason}
    if not isinstance(weights, str):
        raise ConfigError(f"{weights!r} is no text", key=_KEY, allowed=_allowed(architecture))
    if weights == LITE2:
        return _from_lite2(architecture)
    if _is_path(weights):
        path = Path(weights)
        network = build_network(architecture)
        head = load_into(network, read_state_dict(path), str(path))
        return network, {"source": "file", "path": str(path.absolute()), "head": head}
    try:
        if architecture["library"] == "timm":
            return _from_timm(architecture, weights, timeout_s)
        return _from_torchvision(architecture, weights, timeout_s)
    except UnobtainableError as error:
        if weights != "auto":
            raise _unobtainable(architecture, weights, error) from error
        print(
            f"WARNING: {architecture['name']} starts FROM SCRATCH: model.weights=auto found no "
            f"pretrained weights ({error})",
            file=sys.stderr,
            flush=True,
        )
        return build_network(architecture), {"source": "scratch", "reason": str(error)}


def _from_torchvision(
    architecture: Mapping[str, Any], weights: str, timeout_s: float
) -> tuple[nn.Module, dict[str, Any]]:
    published = torchvision.models.get_model_weights(architecture["name"]).__members__
    if weights in ("auto", "pretrained"):
        weights = "DEFAULT"
    if weights == "DEFAULT" and not published:
        raise UnobtainableError(f"torchvision publishes none for {architecture['name']}")
    entry = published.get(weights.rpartition(".")[2])
    if entry is None:
        raise ConfigError(
            f"torchvision has no weights called {weights!r} for {architecture['name']}",
            key=_KEY,
            allowed=_allowed(architecture),
            fix=f"model.weights={next(iter(published))}" if published else "model.weights=none",
        )
    file = fetch_url(entry.url, timeout_s)
    try:
        network = build_torchvision(architecture, entry)
    except DAMAGE as error:
        raise _damaged(file, error) from error
    return network, {"source": "torchvision", "name": entry.name, "head": _head(architecture)}


def _from_timm(
    architecture: Mapping[str, Any], weights: str, timeout_s: float
) -> tuple[nn.Module, dict[str, Any]]:
    if weights not in ("auto", "pretrained"):
        raise ConfigError(
            f"{weights!r} is not a way to choose timm's weights",
            key=_KEY,
            allowed=_allowed(architecture),
            fix=f"model.weights=pretrained model.name={architecture['name'].partition('.')[0]}.TAG",
        )
    published = import_timm().get_pretrained_cfg(architecture["name"])
    if published is None or not published.has_weights:
        raise UnobtainableError(f"timm publishes none for {architecture['name']}")
    if published.hf_hub_id:
        file = fetch_from_hub(published.hf_hub_id, published.hf_hub_filename, timeout_s)
    elif published.url:
        file = fetch_url(published.url, timeout_s)
    else:
        raise UnobtainableError(f"timm names no address for {architecture['name']}")
    try:
        network = build_timm(architecture, pretrained_file=file)
    except DAMAGE as error:
        raise _damaged(file, error) from error
    name = published.hf_hub_id or published.url
    return network, {"source": "timm", "name": name, "head": _head(architecture)}


def _from_lite2(architecture: Mapping[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    library, name = lite2.NETWORK
    if (architecture["library"], architecture["name"].partition(".")[0]) != lite2.NETWORK:
        raise ConfigError(
            f"{LITE2} weights fit {library}'s {name} only, not {architecture['library']}'s "
            f"{architecture['name']}",
            key=_KEY,
            allowed=_allowed(architecture),
            fix="model=lite2",
        )
    file = lite2.weights_file()
    network = build_network(architecture)
    head = load_into(network, lite2.timm_names(read_state_dict(file)), file.name)
    return network, {"source": "package", "name": lite2.PACKAGE, "head": head}


def _is_path(weights: str) -> bool:
    return "/" in weights or weights.endswith(_FILE_ENDINGS) or Path(weights).exists()


def _head(architecture: Mapping[str, Any]) -> str:
    return "kept" if architecture["num_classes"] == _PUBLISHED_CLASSES else "new"


def _allowed(architecture: Mapping[str, Any]) -> str:
    names = ["auto", "none", "pretrained"]
    if architecture["library"] == "torchvision":
        names += torchvision.models.get_model_weights(architecture["name"]).__members__
    if (architecture["library"], architecture["name"]) == lite2.NETWORK:
        names.append(LITE2)
    return ", ".join([*names, "or a path to .safetensors or a torch state dict"])


def _unobtainable(architecture: Mapping[str, Any], weights: str, error: UnobtainableError) -> ConfigError:
    return ConfigError(
        f"{weights} for {architecture['name']} can't be had: {error}",
        key=_KEY,
        allowed=_allowed(architecture),
        fix="model.weights=none, or model.weights=/path/to/file",
    )


def _damaged(file: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{file} can't be loaded: {first_line(error)}",
        key=_KEY,
        allowed="the file as its publisher made it",
        fix=f"rm '{file}' and start again to download it, or model.weights=none",
    )
