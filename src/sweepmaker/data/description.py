"""What a data module says of itself: for run.json, and for whoever has to prepare an image as it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweepmaker.data.datamodule import ImageDataModule


def describe(data: ImageDataModule) -> dict[str, Any]:
    """What run.json's ``data`` holds; fits into JSON."""
    return {
        "source": data.source_name,
        "root": None if data.root is None else str(data.root),
        "fingerprint": data.fingerprint,
        "counts": dict(data.counts),
        "classes": list(data.class_names),
        "missing_classes": {split: list(names) for split, names in data.missing_classes.items()},
        "stats": {"from": data.stats if isinstance(data.stats, str) else "config"} | data.stats_.as_dict(),
        "cache": None if data.pixels is None else str(data.pixels.path),
        "skipped": [
            {"file": data.source.item_name(item), "reason": reason} for item, reason in data.bad.items()
        ],
    }


def transform_spec(data: ImageDataModule) -> dict[str, Any]:
    """What model.json's ``transform`` holds, for ``transforms.evaluation_transform``."""
    return {
        "image_size": data.image_size,
        "resize": data.resize,
        "interpolation": "bicubic",
        "antialias": True,
        **data.stats_.as_dict(),
    }
