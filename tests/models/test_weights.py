"""Which weights a network starts with, what is recorded about it, and what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import timm
import torch
import torchvision.models
from safetensors.torch import save_file

from sweepmaker.config.errors import ConfigError
from sweepmaker.models import weights as weights_module
from sweepmaker.models.fetch import UnobtainableError
from sweepmaker.models.networks import build_network
from sweepmaker.models.weights import initialised_network
from tests.models.nets import CONV_HEAD, SMALL, architecture

TIMM = "tf_efficientnet_lite0"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch.hub cache, and a network that has nothing."""

    def refuse(*args: object) -> None:
        raise UnobtainableError("no network here")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("sweepmaker.models.fetch.require_answer", refuse)
    monkeypatch.setattr(weights_module, "fetch_from_hub", refuse)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def _publish(hub: Path, name: str) -> dict[str, torch.Tensor]:
    """Put a state dict where torch.hub would have put the published one."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    state: dict[str, torch.Tensor] = torchvision.models.get_model(name, weights=None).state_dict()
    torch.save(state, hub / Path(urlparse(weights.url).path).name)
    return state


@pytest.mark.parametrize("weights", ["none", None])
def test_none_is_quiet(weights: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    _, record = initialised_network(architecture(), weights, timeout_s=0)
    assert record == {"source": "scratch", "reason": "model.weights=none"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("library, name", [("torchvision", SMALL), ("timm", TIMM)])
def test_auto_without_any_is_one_loud_line(
    library: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, record = initialised_network(architecture(name, library=library), "auto", timeout_s=1)
    assert record == {"source": "scratch", "reason": "no network here"}
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert "WARNING" in line
    assert name in line
    assert "FROM SCRATCH" in line
    assert "no network here" in line


@pytest.mark.parametrize("weights", ["auto", "pretrained", "DEFAULT", "IMAGENET1K_V1"])
@pytest.mark.parametrize("name", [SMALL, CONV_HEAD])
def test_published_weights_from_the_cache(
    hub: Path, name: str, weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = _publish(hub, name)
    network, record = initialised_network(architecture(name), weights, timeout_s=0)
    assert record == {"source": "torchvision", "name": "IMAGENET1K_V1", "head": "new"}
    found = network.state_dict()
    differing = {key for key in state if not torch.equal(state[key], found[key])}
    assert differing == {key for key in state if key.startswith(("fc.", "classifier."))}
    assert found.keys() == build_network(architecture(name)).state_dict().keys()
    assert capsys.readouterr() == ("", "")


def test_a_thousand_classes_keep_the_published_head(hub: Path) -> None:
    state = _publish(hub, SMALL)
    network, record = initialised_network(architecture(num_classes=1000), "auto", timeout_s=0)
    assert record["head"] == "kept"
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization")
@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "densenet121"])
def test_published_weights_of_unusual_networks(hub: Path, name: str) -> None:
    _publish(hub, name)
    network, record = initialised_network(architecture(name), "auto", timeout_s=0)
    assert record["source"] == "torchvision"
    assert network.state_dict().keys() == build_network(architecture(name)).state_dict().keys()
    assert network.train()(torch.randn(2, 3, 96, 96)).shape == (2, 4)


def test_damaged_cache_names_the_file_to_remove(hub: Path) -> None:
    _publish(hub, SMALL)
    (file,) = hub.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=file.name) as caught:
        initialised_network(architecture(), "auto", timeout_s=0)
    assert f"rm '{file}'" in str(caught.value.fix)


@pytest.mark.parametrize("weights", ["pretrained", "IMAGENET1K_V1"])
def test_weights_asked_for_that_cannot_be_had_stop(weights: str) -> None:
    with pytest.raises(ConfigError, match="no network here") as caught:
        initialised_network(architecture(), weights, timeout_s=1)
    assert caught.value.key == "model.weights"
    assert "IMAGENET1K_V1" in str(caught.value.allowed)
    assert "model.weights=none" in str(caught.value.fix)


def test_network_without_published_weights() -> None:
    name = next(
        known
        for known in timm.list_models()
        if (published := timm.get_pretrained_cfg(known)) and not published.has_weights
    )
    with pytest.raises(ConfigError, match="publishes none"):
        initialised_network(architecture(name, library="timm"), "pretrained", timeout_s=1)


@pytest.mark.parametrize("library", ["torchvision", "timm"])
@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "imagenet", "yes"])
def test_unknown_weights_name(library: str, weights: str) -> None:
    name = SMALL if library == "torchvision" else TIMM
    with pytest.raises(ConfigError, match=weights) as caught:
        initialised_network(architecture(name, library=library), weights, timeout_s=1)
    assert caught.value.key == "model.weights"
    assert "pretrained" in str(caught.value.allowed)


def test_weights_of_another_type() -> None:
    not_text: Any = True
    with pytest.raises(ConfigError, match="True"):
        initialised_network(architecture(), not_text, timeout_s=1)


def test_path(tmp_path: Path) -> None:
    state = build_network(architecture(num_classes=4)).state_dict()
    path = tmp_path / "mine.safetensors"
    save_file(state, path)
    network, record = initialised_network(architecture(num_classes=4), str(path), timeout_s=1)
    assert record == {"source": "file", "path": str(path), "head": "kept"}
    assert all(torch.equal(state[key], tensor) for key, tensor in network.state_dict().items())


def test_missing_path_is_no_weights_name(tmp_path: Path) -> None:
    for path in (tmp_path / "no", Path("no.pth")):
        with pytest.raises(ConfigError, match="no such file"):
            initialised_network(architecture(), str(path), timeout_s=1)


def test_timm_pretrained_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = build_network(architecture(TIMM, 1000, library="timm")).state_dict()
    file = tmp_path / "model.safetensors"
    save_file(state, file)
    monkeypatch.setattr(weights_module, "fetch_from_hub", lambda *args: file)
    network, record = initialised_network(architecture(TIMM, library="timm"), "auto", timeout_s=1)
    assert record["source"] == "timm"
    assert record["name"].startswith("timm/")
    assert record["head"] == "new"
    found = network.state_dict()
    differing = {key for key in state if not torch.equal(state[key], found[key])}
    assert differing == {"classifier.weight", "classifier.bias"}


def test_timm_damaged_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"\x00" * 100)
    monkeypatch.setattr(weights_module, "fetch_from_hub", lambda *args: file)
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        initialised_network(architecture(TIMM, library="timm"), "auto", timeout_s=1)
