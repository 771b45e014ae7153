"""Mean and standard deviation per channel, exact, kept under the content's fingerprint."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from math import sqrt

from sweepmaker.data.source import ChannelSums, Source
from sweepmaker.data.splits import IntArray
from sweepmaker.data.storage import Store

_SMALLEST_STD = 1 / 255
"""A constant channel has no spread; dividing by less than one gray level would be noise."""


@dataclass(frozen=True)
class ChannelStats:
    """Of pixels in [0, 1], for red, green and blue."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def as_dict(self) -> dict[str, list[float]]:
        """For JSON."""
        return {"mean": list(self.mean), "std": list(self.std)}


IMAGENET = ChannelStats((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As in torchvision's model presets."""


def from_sums(sums: ChannelSums) -> ChannelStats:
    """Population mean and standard deviation; every pixel counts the same."""
    mean, std = [], []
    for total, squares in zip(sums.total, sums.squares, strict=True):
        mean.append(float(Fraction(total, 255 * sums.pixels)))
        variance = Fraction(sums.pixels * squares - total * total, (255 * sums.pixels) ** 2)
        # below 0 only where the sums are a lie, which those of a cache may be
        std.append(max(sqrt(max(variance, Fraction(0))), _SMALLEST_STD))
    return ChannelStats((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


def measure(
    wanted: str | ChannelStats, source: Source, train: IntArray, store: Store
) -> tuple[ChannelStats, str]:
    """The statistics to normalise with, and why these.

    Args:
        wanted: ``data``, ``imagenet``, or the numbers.
        source: checked.
        train: items of the training split.
        store: where those of ``data`` are kept.
    """
    if isinstance(wanted, ChannelStats):
        return wanted, "as configured"
    if wanted == "imagenet":
        return IMAGENET, "ImageNet's, as configured"
    reason = f"exact mean and std of the {len(train)} training images"
    return channel_statistics(source, train, store), reason


def channel_statistics(source: Source, items: IntArray, store: Store) -> ChannelStats:
    """Statistics of ``items``: kept from before, or computed and kept.

    The key is the content and which part of it is meant; so a changed image, another seed or
    another split fraction is computed anew, and nothing stale is ever used.
    """
    digest = hashlib.sha256(source.fingerprint.encode())
    digest.update(items.tobytes())
    name = f"stats-{digest.hexdigest()[:16]}.json"
    kept = store.load(name)
    if isinstance(kept, dict) and kept.get("fingerprint") == source.fingerprint:
        return ChannelStats(tuple(kept["mean"]), tuple(kept["std"]))
    sums = source.channel_sums(items)
    stats = from_sums(sums)
    store.save(
        name,
        {
            "fingerprint": source.fingerprint,
            "images": len(items),
            "pixels": sums.pixels,
            "mean": list(stats.mean),
            "std": list(stats.std),
        },
    )
    return stats
