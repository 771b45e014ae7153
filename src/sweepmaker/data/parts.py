"""Which items belong to train, valid and test, after bad ones are left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.source import SPLITS, Say, Source
from sweepmaker.data.splits import IntArray, take_stratified


def divide(
    source: Source,
    bad: Mapping[int, str],
    fractions: Mapping[str, float],
    limit: Mapping[str, int],
    *,
    seed: int,
) -> dict[str, IntArray]:
    """Item numbers per split, ascending.

    A split that the source does not have is taken out of its training part (of everything, where
    it has no splits at all): first ``test``, then ``valid``, each a fraction of what there was.

    Raises:
        ConfigError: nothing would be left to train or validate on.
        DataError: leaving out the bad images emptied a class.
    """
    given = dict(source.given) or {"train": np.arange(len(source.labels), dtype=np.int64)}
    broken = np.array(sorted(bad), dtype=np.int64)
    parts = {split: items[~np.isin(items, broken)] for split, items in given.items()}
    _refuse_emptied(source, given["train"], parts["train"])
    total = len(parts["train"])
    for number, split in enumerate(("test", "valid")):
        if split not in given:
            count = round(total * fractions[split])
            train = parts["train"]
            parts[split], parts["train"] = take_stratified(
                train, source.labels[train], count, seed=seed + number
            )
    for number, split in enumerate(SPLITS):
        size = limit.get(split, len(parts[split]))
        if size < len(parts[split]):
            parts[split], _ = take_stratified(
                parts[split],
                source.labels[parts[split]],
                size,
                seed=seed + len(SPLITS) + number,
                keep_one=False,
            )
    if not len(parts["valid"]):
        raise ConfigError(
            f"{total} images are too few for a validation split of {fractions['valid']}",
            key="data.splits.valid",
            fix="add images or raise data.splits.valid",
        )
    return {split: parts[split] for split in SPLITS}


def missing_classes(source: Source, parts: Mapping[str, IntArray], *, say: Say) -> dict[str, list[str]]:
    """Per split that has images at all, the names of the classes that it has none of; each is told."""
    missing = {}
    for split, items in parts.items():
        present = set(np.unique(source.labels[items]).tolist())
        names = [name for label, name in enumerate(source.class_names) if label not in present]
        if names and len(items):
            missing[split] = names
            say(f"data: {split} has no images of {len(names)} class(es): {', '.join(names)}")
    return missing


def _refuse_emptied(source: Source, before: IntArray, after: IntArray) -> None:
    emptied = set(source.labels[before].tolist()) - set(source.labels[after].tolist())
    if emptied:
        names = ", ".join(repr(source.class_names[label]) for label in sorted(emptied))
        raise DataError(f"every training image of {names} is bad", fix="mend the files or remove the class")
