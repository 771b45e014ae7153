"""Each YAML of the group makes a data module, and says what each key is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.errors import ConfigError
from sweepmaker.data import ImageDataModule
from tests.images import class_tree

CONF = Path(__file__).parents[2] / "conf" / "data"
KNOBS = {"image_size": 16, "batch_size": 4, "seed": 0}


def load(name: str) -> Any:
    """The composed group, without Hydra's search path: only dogs has a base."""
    own = OmegaConf.load(CONF / f"{name}.yaml")
    assert isinstance(own, DictConfig)
    bases = [OmegaConf.load(CONF / f"{base}.yaml") for base in own.pop("defaults", [])[:-1]]
    return OmegaConf.merge(KNOBS, {"data": OmegaConf.merge(*bases, own)})


@pytest.mark.parametrize("name", ["digits", "folder", "dogs"])
def test_it_makes_a_module(name: str, tmp_path: Path) -> None:
    config = load(name)
    if name != "digits":
        config["data"]["root"] = str(class_tree(tmp_path))
    data = instantiate(config["data"])
    assert isinstance(data, ImageDataModule)
    data.setup()
    assert data.image_size == 16 and len(next(iter(data.train_dataloader()))[1]) == 4


def test_fashion_mnist_is_only_configured() -> None:
    data = instantiate(load("fashion_mnist")["data"])
    assert data.source_name == "fashion_mnist" and data.augment.hflip == 0.5


@pytest.mark.parametrize("name", ["folder", "dogs"])
def test_a_missing_root_is_asked_for(name: str) -> None:
    with pytest.raises(Exception) as caught:
        instantiate(load(name)["data"])
    error = caught.value if isinstance(caught.value, ConfigError) else caught.value.__cause__
    assert isinstance(error, ConfigError) and error.fix == "data.root=FOLDER"


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_key_has_a_comment(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        key, _, rest = line.partition(":")
        if not line.strip() or line.lstrip().startswith(("#", "-", "_", "defaults")):
            continue
        parent = not rest.strip()
        grouped = line.startswith("  ") and any("#" in above for above in lines[:number])
        assert "#" in line or grouped or (parent and "  " in lines[number + 1]), key
