"""A data set looked at before anything is trained on it: what is in it, what is wrong, mean and std."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sweepmaker.data.datamodule import ImageDataModule
from sweepmaker.data.folder import FolderSource
from sweepmaker.data.inventory import take_inventory
from sweepmaker.data.source import SPLITS, Source
from sweepmaker.data.storage import Store
from sweepmaker.run.environment import available_cores


def check(module: ImageDataModule) -> dict[str, Any]:
    """Every image decoded (one that was good and has not changed counts as it is).

    Args:
        module: with ``on_bad_image="skip"``, so that every bad image is named and not only the first ones.

    Returns:
        What fits into JSON: ``images`` and ``classes`` per split as training would use them, ``pixels``
        and ``bytes`` of the images, ``bad`` with file and reason of each.

    Raises:
        ConfigError, DataError: there is nothing to train on.
    """
    module.setup()
    described = module.describe()
    source = module.source
    return {
        "source": described["source"],
        "root": described["root"],
        "fingerprint": described["fingerprint"],
        "images": described["counts"],
        "classes": _classes(module, source),
        **_sizes(module, source),
        "bad": described["skipped"],
    }


def statistics(module: ImageDataModule) -> dict[str, Any]:
    """Exact mean and standard deviation of the training split's channels, pixels in [0, 1].

    The same numbers, kept in the same place, as a run with ``data.stats=data`` uses.

    Args:
        module: with ``stats="data"``.

    Raises:
        ConfigError, DataError: there is nothing to train on; a bad image that is not to be skipped.
    """
    module.setup()
    described = module.describe()
    return {
        "source": described["source"],
        "root": described["root"],
        "fingerprint": described["fingerprint"],
        "images": described["counts"]["train"],
        "mean": described["stats"]["mean"],
        "std": described["stats"]["std"],
    }


def cache(module: ImageDataModule) -> dict[str, Any]:
    """Every image that the splits use decoded and kept on disk, for all runs with these settings.

    Args:
        module: with ``cache="disk"``.

    Raises:
        ConfigError: there is no room for it, or nothing to train on.
        DataError: a bad image that is not to be skipped, or one that changed meanwhile.
    """
    module.setup()
    described = module.describe()
    path = Path(described["cache"])
    return {
        "source": described["source"],
        "root": described["root"],
        "fingerprint": described["fingerprint"],
        "images": described["counts"],
        "file": str(path),
        "bytes": path.stat().st_size,
    }


def _classes(module: ImageDataModule, source: Source) -> dict[str, dict[str, int]]:
    """``{class: {split: images}}``, in the order of the labels."""
    counts = {
        split: np.bincount(source.labels[module.dataset(split).items], minlength=module.num_classes)
        for split in SPLITS
    }
    return {
        name: {split: int(counts[split][label]) for split in SPLITS}
        for label, name in enumerate(module.class_names)
    }


def _sizes(module: ImageDataModule, source: Source) -> dict[str, Any]:
    """Sizes of all good images: pixels (width times height), and bytes where they are files."""
    if not isinstance(source, FolderSource):
        height, width = source.load(0).shape[1:]
        return {"pixels": {"smallest": height * width, "median": height * width, "largest": height * width}}
    records = take_inventory(
        source.root,
        source.files,
        store=Store(source.root, lambda line: None),  # it was said while the data was opened
        max_pixels=module.max_pixels,
        threads=available_cores(),
    ).records.values()
    pixels = sorted(record.pixels for record in records)
    return {
        "pixels": {"smallest": pixels[0], "median": pixels[len(pixels) // 2], "largest": pixels[-1]},
        "bytes": sum(record.size for record in records),
    }
