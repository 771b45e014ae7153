"""The data module's options, checked: an impossible value is one clear ConfigError."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.source import SPLITS
from sweepmaker.data.statistics import ChannelStats

SOURCES = ("digits", "fashion_mnist", "folder")
ON_BAD_IMAGE = ("stop", "skip")
CACHES = ("auto", "disk", "none")
_SMALLEST_IMAGE = 8  # px


@dataclass(frozen=True)
class Augment:
    """What happens to training images; see ``transforms.TrainingTransform``."""

    crop_scale: tuple[float, float] | None
    hflip: float
    trivial_augment: bool


def integer(value: Any, key: str, *, lowest: int) -> int:
    """``value`` as an integer of at least ``lowest``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise ConfigError(f"{value!r} is not possible", key=key, allowed=f"an integer >= {lowest}")
    return value


def fraction(value: Any, key: str, *, below_one: bool = False, above_zero: bool = False) -> float:
    """``value`` as a number between 0 and 1."""
    good = _is_number(value) and 0 <= value <= 1
    if not good or (below_one and value == 1) or (above_zero and value == 0):
        low, high = ("(" if above_zero else "["), (")" if below_one else "]")
        raise ConfigError(f"{value!r} is not possible", key=key, allowed=f"a number in {low}0, 1{high}")
    return float(value)


def choice(value: Any, key: str, allowed: Sequence[str]) -> str:
    """``value`` if it is one of ``allowed``."""
    if not isinstance(value, str) or value not in allowed:
        near = get_close_matches(str(value), allowed, n=1)
        fix = f"{key}={near[0]}" if near else None
        raise ConfigError(f"{value!r} is unknown", key=key, allowed=" | ".join(allowed), fix=fix)
    return value


def root(value: Any, *, needed: bool) -> Path | None:
    """The data's folder, absolute; None where it is neither given nor needed."""
    if value is None and not needed:
        return None
    if value is None or not isinstance(value, str | Path) or not str(value):
        raise ConfigError(
            "the folder of images is missing" if value is None else f"{value!r} is not possible",
            key="data.root",
            allowed="a folder with train/ valid/ test/ class folders, or class folders",
            fix="data.root=FOLDER",
        )
    return Path(value).expanduser().absolute()


def folder(value: Any, key: str) -> Path | None:
    """A folder that need not exist yet, absolute; None stays None."""
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value):
        raise ConfigError(f"{value!r} is not possible", key=key, allowed="a folder, or null")
    path = Path(value).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{path} is not a folder", key=key, allowed="a folder, or null")
    return path


def cache_uri(value: Any, *, root: Any) -> Path | None:
    """The folder of a cache that stands in the place of the images."""
    path = folder(value, "data.cache_uri")
    if path is None:
        return None
    if root is not None:
        raise ConfigError(
            "the cache stands in the place of the images, and data.root names images, too",
            key="data.cache_uri",
            allowed="one of the two",
            fix="data.root=null, or data.cache_dir=FOLDER for a cache of these images in another place",
        )
    if not path.is_dir():
        raise ConfigError(f"there is no folder {path}", key="data.cache_uri", allowed="a folder with a cache")
    return path


def image_size(value: Any) -> int:
    return integer(value, "image_size", lowest=_SMALLEST_IMAGE)


def resize(value: Any, size: int) -> int:
    """The short side before the centre crop, px; None means the crop's own size."""
    if value is None:
        return size
    return integer(value, "data.resize", lowest=size)


def splits(value: Any) -> dict[str, float]:
    """Fractions of ``valid`` and ``test``; the rest must leave something to train on."""
    table = _table(value, "data.splits", ("valid", "test"))
    valid = fraction(table.get("valid", 0.1), "data.splits.valid", below_one=True, above_zero=True)
    test = fraction(table.get("test", 0.1), "data.splits.test", below_one=True)
    if valid + test >= 1:
        raise ConfigError(
            f"valid {valid} and test {test} leave nothing to train on",
            key="data.splits",
            allowed="valid + test < 1",
        )
    return {"valid": valid, "test": test}


def stats(value: Any) -> str | ChannelStats:
    """``data``, ``imagenet`` or explicit numbers."""
    if not isinstance(value, Mapping):
        return choice(value, "data.stats", ("data", "imagenet"))
    table = _table(value, "data.stats", ("mean", "std"))
    mean, std = (_three(table.get(name), f"data.stats.{name}") for name in ("mean", "std"))
    if any(number <= 0 for number in std):
        raise ConfigError(f"{list(std)} is not possible", key="data.stats.std", allowed="above 0")
    return ChannelStats(mean, std)


def augment(value: Any) -> Augment:
    """See ``Augment``; a missing part is off."""
    names = ("crop_scale", "hflip", "trivial_augment")
    table = _table(value, "data.augment", names)
    trivial = table.get("trivial_augment", False)
    if not isinstance(trivial, bool):
        raise ConfigError(
            f"{trivial!r} is not possible",
            key="data.augment.trivial_augment",
            allowed="true | false",
        )
    hflip = fraction(table.get("hflip", 0.0), "data.augment.hflip")
    return Augment(_crop_scale(table.get("crop_scale")), hflip, trivial)


def num_workers(value: Any) -> int | None:
    """Number of worker processes; None means automatic."""
    if value == "auto":
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(
            f"{value!r} is not possible", key="data.num_workers", allowed="auto or an integer >= 0"
        )
    return value


def limit(value: Any) -> dict[str, int]:
    """Subset sizes, images; splits without one are not in the result."""
    table = _table(value or {}, "data.limit", SPLITS)
    return {
        name: integer(number, f"data.limit.{name}", lowest=1)
        for name, number in table.items()
        if number is not None
    }


def _crop_scale(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        good = False
    else:
        good = all(map(_is_number, value)) and 0 < value[0] <= value[1] <= 1
    if not good:
        raise ConfigError(
            f"{value!r} is not possible",
            key="data.augment.crop_scale",
            allowed="null or [low, high] with 0 < low <= high <= 1",
            fix="data.augment.crop_scale=[0.25,1.0]",
        )
    return float(value[0]), float(value[1])


def _table(value: Any, key: str, names: Sequence[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{value!r} is not possible", key=key, allowed=f"keys {', '.join(names)}")
    for name in value:
        choice(name, key, names)
    return value


def _three(value: Any, key: str) -> tuple[float, float, float]:
    good = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3
    if not good or not all(map(_is_number, value)):
        raise ConfigError(
            f"{value!r} is not possible", key=key, allowed="[red, green, blue], of pixels in [0, 1]"
        )
    return float(value[0]), float(value[1]), float(value[2])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
