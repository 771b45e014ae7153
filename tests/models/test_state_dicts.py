"""Files of weights: every accepted form, and every way in which one can be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sweepmaker.config.errors import ConfigError
from sweepmaker.models.networks import build_network
from sweepmaker.models.state_dicts import load_into, read_state_dict
from tests.models.nets import CONV_HEAD, SMALL, architecture


def _save_lightning(state: dict[str, Tensor], path: Path) -> None:
    prefixed = {f"network.{key}": tensor for key, tensor in state.items()}
    torch.save({"state_dict": prefixed | {"other.buffer": torch.ones(1)}, "epoch": 3}, path)


FORMS: dict[str, Callable[[dict[str, Tensor], Path], None]] = {
    "a.safetensors": save_file,
    "a.pth": torch.save,
    "a.ckpt": _save_lightning,
    "parallel.pt": lambda state, path: torch.save(
        {f"module.{key}": tensor for key, tensor in state.items()}, path
    ),
    "wrapped.pt": lambda state, path: torch.save({"state_dict": state}, path),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_tensors(tmp_path: Path, form: str) -> None:
    state = build_network(architecture()).state_dict()
    FORMS[form](state, tmp_path / form)
    found = read_state_dict(tmp_path / form)
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)


def test_model_folder_of_a_run(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    assert read_state_dict(tmp_path).keys() == {"a"}


@pytest.mark.parametrize("name", [SMALL, CONV_HEAD])
def test_head_of_another_size_is_left_out(name: str) -> None:
    source = build_network(architecture(name, 9))
    target = build_network(architecture(name, 4))
    before = {key: tensor.clone() for key, tensor in target.state_dict().items()}
    assert load_into(target, source.state_dict(), "x") == "new"
    changed = {key for key, tensor in target.state_dict().items() if not torch.equal(tensor, before[key])}
    heads = {"fc.weight", "fc.bias", "classifier.1.weight", "classifier.1.bias"}
    assert changed
    assert not changed & heads
    assert load_into(build_network(architecture(name, 9)), source.state_dict(), "x") == "kept"


def test_backbone_alone_is_enough() -> None:
    state = build_network(architecture()).state_dict()
    backbone = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    assert load_into(build_network(architecture()), backbone, "x") == "new"


def test_what_else_does_not_fit_is_named() -> None:
    state = build_network(architecture()).state_dict()
    state["conv1.0.weight"] = torch.zeros(1, 2, 3)
    del state["conv5.0.weight"]
    state |= {f"extra.{index}": torch.zeros(1) for index in range(5)}
    with pytest.raises(ConfigError) as caught:
        load_into(build_network(architecture()), state, "mine.pt")
    message = str(caught.value)
    assert "mine.pt" in message
    assert "1 missing (conv5.0.weight)" in message
    assert "5 unexpected (extra.0, extra.1, extra.2, ...)" in message
    assert "1 of another shape (conv1.0.weight)" in message


class _Payload:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("exit 3",)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.safetensors", b""),
        ("b.safetensors", b"\xff" * 64),
        ("c.pth", b""),
        ("d.pth", b"not weights at all"),
        ("e.pth", b"PK\x03\x04 cut"),
        ("f.pth", b"\x80\x02."),
    ],
)
def test_damaged_file(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=name) as caught:
        read_state_dict(path)
    assert caught.value.key == "model.weights"


@pytest.mark.parametrize("form", ["a.safetensors", "a.pth"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_file_cut_short(tmp_path: Path, form: str, share: float) -> None:
    path = tmp_path / form
    FORMS[form](nn.Linear(50, 50).state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ConfigError):
        read_state_dict(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"a": _Payload()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match=r"evil\.pth"):
        read_state_dict(tmp_path / "evil.pth")


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, torch.ones(3)])
def test_something_else_than_a_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="no state dict"):
        read_state_dict(tmp_path / "x.pt")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_state_dict(tmp_path / "a.pt")
