"""Every torchvision classifier and several of timm get a head of the right size."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
import torch
import torchvision.models
from torch import nn

from sweepmaker.config.errors import ConfigError
from sweepmaker.models.networks import build_network, head_names, only_image_size
from tests.models.nets import CONV_HEAD, SMALL, architecture

ALL = torchvision.models.list_models(module=torchvision.models)
# A RegNet reads numbers off tensors while it is built, which the meta device has none of.
ON_META = [name for name in ALL if not name.startswith("regnet")]


def _outputs(layer: nn.Module) -> object:
    return getattr(layer, "out_features", None) or getattr(layer, "out_channels", None)


@pytest.mark.parametrize("name", ON_META)
def test_every_torchvision_head_has_the_data_s_classes(name: str) -> None:
    with torch.device("meta"):
        network = build_network(architecture(name, 7))
    (head,) = head_names(network)
    assert _outputs(network.get_submodule(head)) == 7
    assert not [key for key in network.state_dict() if key.startswith("aux")]


@pytest.mark.parametrize("name", ["regnet_y_400mf", SMALL, CONV_HEAD, "mobilenet_v3_small"])
def test_logits_have_the_data_s_classes_and_the_head_decides_them(name: str) -> None:
    network = build_network(architecture(name, 7)).eval()
    (head,) = head_names(network)
    with torch.no_grad():
        assert network(torch.randn(2, 3, 64, 64)).shape == (2, 7)
        for parameter in network.get_submodule(head).parameters():
            parameter.zero_()
        assert not network(torch.randn(2, 3, 64, 64)).any()


def test_auxiliary_heads_are_left_out_so_that_training_returns_plain_logits() -> None:
    network = build_network(architecture("googlenet", 5)).train()
    assert network(torch.randn(2, 3, 64, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    "name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"]
)
def test_timm_heads(name: str) -> None:
    with torch.device("meta"):
        network = build_network(architecture(name, 7, library="timm"))
    heads = head_names(network)
    assert len(heads) == (2 if "distilled" in name else 1)
    assert {_outputs(network.get_submodule(head)) for head in heads} == {7}


def test_only_networks_with_learnt_positions_are_bound_to_a_size() -> None:
    with torch.device("meta"):
        sizes = {
            name: only_image_size(build_network(architecture(name, 7, library=library)))
            for library, name in [
                ("torchvision", "vit_b_32"),
                ("torchvision", "resnet18"),
                ("timm", "vit_tiny_patch16_224"),
                ("timm", "tf_efficientnet_lite0"),
            ]
        }
    assert list(sizes.values()) == [224, None, 224, None]


def test_dropout_is_set_beside_the_head_only() -> None:
    network = build_network(architecture("efficientnet_b0", 5, dropout=0.45))
    rates = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert rates == [0.45]
    timm_network: Any = build_network(architecture("tf_efficientnet_lite0", 5, library="timm", dropout=0.45))
    assert timm_network.drop_rate == 0.45


def test_dropout_of_a_network_without_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no dropout") as caught:
        build_network(architecture("resnet18", dropout=0.1))
    assert caught.value.key == "model.dropout"


@pytest.mark.parametrize(
    ("library", "name", "expected"),
    [
        ("torchvision", "eficientnet_b2", "efficientnet_b2"),
        ("torchvision", "resnet-50", "resnet50"),
        ("timm", "tf_eficientnet_lite2", "tf_efficientnet_lite2"),
        ("timm", "efficientnet_b2.ra_in1", "efficientnet_b2.ra_in1k"),
    ],
)
def test_unknown_name_is_answered_with_close_ones(library: str, name: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        build_network(architecture(name, library=library))
    assert caught.value.key == "model.name"
    assert caught.value.fix == f"model.name={expected}"
    assert "list_models" in str(caught.value.allowed)


def test_nothing_like_it_points_at_timm() -> None:
    with pytest.raises(ConfigError) as caught:
        build_network(architecture("zzzzzz"))
    assert "timm" in str(caught.value.fix)


def test_unknown_library() -> None:
    with pytest.raises(ConfigError, match="keras") as caught:
        build_network(architecture(library="keras"))
    assert (caught.value.key, caught.value.allowed) == ("model.library", "torchvision or timm")


def test_timm_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_timm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "timm":
            raise ModuleNotFoundError("No module named 'timm'", name="timm")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(ConfigError, match="not installed") as caught:
        build_network(architecture("tf_efficientnet_lite0", library="timm"))
    assert caught.value.fix == "pip install 'sweepmaker[timm]'"
