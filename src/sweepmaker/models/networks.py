"""Networks by library and name, with a head for the data's classes."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torchvision.models
from torch import nn

from sweepmaker.config.errors import ConfigError

LIBRARIES = ("torchvision", "timm")

# These two add auxiliary classifiers while they train, which one loss on one output cannot use,
# and take ImageNet-normalised pixels only where told to (the published weights' builders do).
_AUXILIARY_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


def build_network(architecture: Mapping[str, Any]) -> nn.Module:
    """Build the network that ``Classifier.architecture()`` described, with random weights.

    Args:
        architecture: ``library``, ``name``, ``num_classes``, ``dropout`` (None: the network's own).

    Raises:
        ConfigError: unknown library or network, timm is not installed, or the network has no
            dropout before its head to set.
    """
    check_name(architecture["library"], architecture["name"])
    if architecture["library"] == "timm":
        return build_timm(architecture)
    return build_torchvision(architecture)


def build_torchvision(
    architecture: Mapping[str, Any], weights: torchvision.models.WeightsEnum | None = None
) -> nn.Module:
    """A torchvision classifier, from scratch or with published weights below a new head.

    With 1,000 classes the published head is kept.
    """
    name, num_classes = architecture["name"], architecture["num_classes"]
    options: dict[str, Any] = {}
    if name in _AUXILIARY_HEADS:
        options["transform_input"] = True
        if weights is None:
            options |= {"aux_logits": False, "init_weights": True}
    if weights is None:
        options["num_classes"] = num_classes
    network: nn.Module = torchvision.models.get_model(name, weights=weights, progress=False, **options)
    for auxiliary in _AUXILIARY_HEADS.get(name, ()):
        setattr(network, auxiliary, None)
    if name in _AUXILIARY_HEADS:
        network.aux_logits = False  # type: ignore[assignment]
    (head_name,) = head_names(network)
    _resize_head(network, head_name, num_classes)
    if architecture["dropout"] is not None:
        _set_dropout(network, head_name, architecture)
    return network


def build_timm(architecture: Mapping[str, Any], pretrained_file: Path | None = None) -> nn.Module:
    """A timm network, from scratch or with the published weights in ``pretrained_file``."""
    timm = import_timm()
    options: dict[str, Any] = {"num_classes": architecture["num_classes"]}
    if architecture["dropout"] is not None:
        options["drop_rate"] = architecture["dropout"]
    if pretrained_file is not None:
        options |= {"pretrained": True, "pretrained_cfg_overlay": {"file": str(pretrained_file)}}
    network: nn.Module = timm.create_model(architecture["name"], **options)
    return network


def head_names(network: nn.Module) -> tuple[str, ...]:
    """Names of the layers that turn features into logits: one, or two in a distilled timm net."""
    own_word: Any = getattr(network, "get_classifier", None)  # timm's
    if own_word is not None:
        heads = own_word()
        heads = heads if isinstance(heads, tuple | list) else (heads,)
        names = {module: name for name, module in network.named_modules()}
        return tuple(names[head] for head in heads)
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return (layers[-1],)


def reset_heads(network: nn.Module, names: tuple[str, ...]) -> None:
    """Start the layers that make the logits as torch starts a linear layer: by their inputs.

    EfficientNets (torchvision's and timm's) draw the head from +-1/sqrt(classes), made for 1,000 classes:
    with 10 on top of 1,280 features the first loss is 8 where guessing costs 2.3, and a head that
    trains alone for a few epochs doesn't get over it (71 % instead of 86 % on Fashion-MNIST).
    """
    for name in names:
        head = network.get_submodule(name)
        if isinstance(head, nn.Linear | nn.Conv2d):
            head.reset_parameters()


def only_image_size(network: nn.Module) -> int | None:
    """The one image size, px, that a network with learnt positions takes; None: it takes many."""
    patches = getattr(network, "patch_embed", None)
    if getattr(patches, "strict_img_size", False):  # timm
        return _side(getattr(patches, "img_size", None))
    return _side(getattr(network, "image_size", None))  # torchvision's ViT


def check_name(library: str, name: str) -> None:
    """Stop with the closest known names where ``library`` has no classifier called ``name``."""
    if library not in LIBRARIES:
        raise ConfigError(
            f"no model library is called {library!r}",
            key="model.library",
            allowed=" or ".join(LIBRARIES),
        )
    if library == "timm":
        timm = import_timm()
        base, _, tag = name.partition(".")
        if timm.is_model(base) and (not tag or name in timm.list_pretrained(f"{base}.*")):
            return
        known = timm.list_models() + timm.list_pretrained(f"{base}.*")
        listing = "import timm; print(*timm.list_models(), sep='\\n')"
    else:
        known = torchvision.models.list_models(module=torchvision.models)
        if name in known:
            return
        listing = "from torchvision import models; print(*models.list_models(module=models), sep='\\n')"
    close = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    raise ConfigError(
        f"{library} has no classifier called {name!r}" + (f"; closest: {', '.join(close)}" if close else ""),
        key="model.name",
        allowed=f'the {len(known)} names that this prints: python -c "{listing}"',
        fix=_fix(library, name, close),
    )


def import_timm() -> ModuleType:
    """timm, or the error that says how to install it."""
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise ConfigError(
            "timm is not installed",
            key="model.library",
            allowed="torchvision without it",
            fix="pip install 'sweepmaker[timm]'",
        ) from None
    return timm


def _fix(library: str, name: str, close: list[str]) -> str | None:
    if library == "torchvision" and not close:
        return f"model.library=timm, if {name} is one of timm's"
    return f"model.name={close[0]}" if close else None


def _side(size: object) -> int | None:
    side = size[0] if isinstance(size, tuple | list) and size else size
    return side if isinstance(side, int) else None


def _resize_head(network: nn.Module, head_name: str, num_classes: int) -> None:
    """Put a fresh layer with ``num_classes`` outputs in place of a head of another size."""
    head = network.get_submodule(head_name)
    if isinstance(head, nn.Conv2d):
        if head.out_channels == num_classes:
            return
        fresh: nn.Module = nn.Conv2d(head.in_channels, num_classes, head.kernel_size)  # type: ignore[arg-type]
    elif isinstance(head, nn.Linear):
        if head.out_features == num_classes:
            return
        fresh = nn.Linear(head.in_features, num_classes, bias=head.bias is not None)
    else:
        raise TypeError(f"{head_name} is a {type(head).__name__}, not a layer that makes logits")
    network.set_submodule(head_name, fresh)


def _set_dropout(network: nn.Module, head_name: str, architecture: Mapping[str, Any]) -> None:
    """Set the rate of the dropout layers beside the head (in its Sequential, or at the top)."""
    parent = network.get_submodule(head_name.rpartition(".")[0])
    layers = [module for module in parent.children() if isinstance(module, nn.Dropout)]
    if not layers:
        raise ConfigError(
            f"{architecture['name']} has no dropout before its head",
            key="model.dropout",
            allowed="null for this network",
            fix="model.dropout=null",
        )
    for layer in layers:
        layer.p = float(architecture["dropout"])
