"""finetune=head on cached features ends with the numbers that it has on images, much sooner."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.runs import (
    SIGTERM,
    TINY,
    Ended,
    assert_equal_runs,
    script,
    train_and_signal,
    weights,
)  # fmt: skip

HEAD = [
    *TINY, "epochs=3", "model.finetune=head", "data.augment.crop_scale=null", "trainer.threads=1",
    "debugger=none",  # which looks at features less often than at images, so it counts other findings
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


def head(place: Path, name: str, *words: str) -> Ended:
    ended = script(
        "train.py", *HEAD, *words, f"hydra.run.dir={place / name}", cwd=place, XDG_CACHE_HOME=str(place / "c")
    )
    assert ended.code == 0, ended.err
    return ended


def choice(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / name / "run.json").read_text())["choices"]["features"]
    return found


@pytest.fixture(scope="module")
def on_images(place: Path) -> Ended:
    return head(place, "images", "data.cache=none")


@pytest.fixture(scope="module")
def on_features(place: Path) -> Ended:
    return head(place, "features")


@pytest.mark.slow
def test_equal_to_the_last_bit(place: Path, on_images: Ended, on_features: Ended) -> None:
    assert choice(place, "images") == {"value": "computed", "reason": "in every epoch: data.cache=none"}
    assert choice(place, "features")["value"] == "cached"
    assert_equal_runs(place / "images", place / "features")
    metrics = [line for line in on_images.out.splitlines() if "test/" in line]
    assert metrics and metrics == [line for line in on_features.out.splitlines() if "test/" in line]


@pytest.mark.slow
def test_the_next_run_computes_none(place: Path, on_features: Ended) -> None:
    assert "computing features of train" in on_features.err
    again = head(place, "again", "lr=3e-3")
    assert "computing features" not in again.err
    other = head(place, "other", "seed=1")  # another backbone, since this one is not trained
    assert "computing features of train" in other.err


@pytest.mark.slow
def test_interrupted_and_continued(place: Path, on_features: Ended, monkeypatch: pytest.MonkeyPatch) -> None:
    """A continued run takes its backbone from the checkpoint, and builds the network without weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(place / "c"))
    folder = place / "broken"
    weights = place / "features" / "model" / "model.safetensors"
    words = ["epochs=80", "seed=5", f"model.weights={weights}"]
    first = train_and_signal([*HEAD, *words, f"hydra.run.dir={folder}"], SIGTERM, 16, 0.0, place)
    assert first.code == 143, first.err
    ended = script("train.py", f"resume={folder}", cwd=place)
    assert ended.code == 0 and "continuing from last.ckpt" in ended.err, ended.err
    assert "computing features" not in ended.err
    head(place, "whole", *words)
    assert_equal_runs(place / "whole", folder)


@pytest.mark.slow
def test_augmentation(place: Path) -> None:
    plain = ["data.augment.crop_scale=[0.8,1.0]"]
    head(place, "augmented", *plain)
    assert choice(place, "augmented")["value"] == "computed"
    assert "data.views=8 would cache" in choice(place, "augmented")["reason"]
    head(place, "views", *plain, "data.views=3")
    assert "3 augmented views" in choice(place, "views")["reason"]
    assert_equal_runs(place / "augmented", place / "views")  # three epochs, three views


@pytest.mark.slow
def test_a_compiled_network_ends_where_the_plain_one_does(place: Path) -> None:
    words = [*TINY, "epochs=1", "trainer.threads=1", "data.limit.train=48"]
    for name, more in (("plain", []), ("compiled", ["trainer.compile=aot_eager"])):
        ended = script("train.py", *words, *more, f"hydra.run.dir={place / name}", cwd=place)
        assert ended.code == 0, ended.err
    plain, compiled = weights(place / "plain"), weights(place / "compiled")
    assert plain.keys() == compiled.keys()
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-2, atol=1e-3)
    refused = script("train.py", *words, "trainer.compile=inducto", cwd=place)
    assert refused.code == 2 and "trainer.compile=inductor" in refused.err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"), [("squeezenet1_1", "computed"), ("vit_b_32", "cached"), ("convnext_tiny", "cached")]
)
def test_networks_whose_heads_differ(name: str, value: str, place: Path) -> None:
    """A head that is a convolution, and heads behind a norm that gives 32 bits under autocast."""
    size = "224" if name == "vit_b_32" else "64"
    for features in ("cached", "images"):
        crops = ["data.augment.crop_scale=null"] if features == "cached" else []
        words = [
            f"model.name={name}",
            f"image_size={size}",
            *crops,
            "data.limit.train=16",
            "data.limit.valid=16",
        ]
        folder = f"{name}-{features}"
        ended = script(
            "train.py", "model.weights=none", "model.finetune=head", "batch_size=8", "epochs=1", "test=false",
            *words, f"hydra.run.dir={place / folder}", cwd=place, XDG_CACHE_HOME=str(place / "c"),
        )  # fmt: skip
        assert ended.code == 0, ended.err
        assert choice(place, folder)["value"] == (value if features == "cached" else "computed")
