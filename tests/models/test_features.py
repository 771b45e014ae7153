"""The backbone alone gives what the head is given in the whole network."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import get_model

from sweepmaker.models.features import Backbone, NotSeparable
from sweepmaker.models.networks import build_timm, head_names

IMAGES = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "name", ["efficientnet_b0", "resnet18", "mobilenet_v3_small", "vgg11", "convnext_tiny"]
)
def test_torchvision(name: str) -> None:
    network = get_model(name, num_classes=7).eval()
    (head,) = head_names(network)
    backbone = Backbone(network, head)
    features = backbone(IMAGES)
    assert features.shape == (3, backbone.width)
    with torch.inference_mode():
        assert torch.equal(network.get_submodule(head)(features), network(IMAGES))


def test_timm() -> None:
    network = build_timm({"name": "test_efficientnet", "num_classes": 7, "dropout": None}).eval()
    (head,) = head_names(network)
    with torch.inference_mode():
        assert torch.equal(network.get_submodule(head)(Backbone(network, head)(IMAGES)), network(IMAGES))


def test_a_head_of_another_kind() -> None:
    network = get_model("squeezenet1_1", num_classes=7).eval()
    with pytest.raises(NotSeparable, match=r"classifier\.1 is a Conv2d"):
        Backbone(network, *head_names(network))


class Late(torch.nn.Module):
    """Something happens after its head, or its head sees several vectors an image."""

    def __init__(self, *, several: bool) -> None:
        super().__init__()
        self.head = torch.nn.Linear(64, 5)
        self.several = several

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        rows = images[:, 0]
        return self.head(rows).mean(1) if self.several else 2 * self.head(rows[:, 0])


@pytest.mark.parametrize(("several", "told"), [(True, "more than one vector"), (False, "not the last layer")])
def test_logits_that_do_not_follow_from_one_vector(several: bool, told: str) -> None:
    with pytest.raises(NotSeparable, match=told):
        Backbone(Late(several=several).eval(), "head")(IMAGES)


def test_the_fingerprint_is_of_what_comes_before_the_head() -> None:
    network = get_model("mobilenet_v3_small", num_classes=7).eval()
    (head,) = head_names(network)
    backbone = Backbone(network, head)
    before = backbone.fingerprint()
    torch.nn.init.zeros_(network.get_submodule(head).weight)
    assert backbone.fingerprint() == before
    network.get_buffer("features.0.1.running_mean")[0] += 1e-6
    assert backbone.fingerprint() != before
