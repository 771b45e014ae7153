"""A cache of decoded images that is a data set by itself: what runs need where the images are not.

Beside the pixels a cache holds what the source said of itself, so a job can be given one large file instead
of many small images (``data.cache_uri``), and its numbers are those of a run on the images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.cache.blob import Damaged, Writer, open_blob
from sweepmaker.data.cache.pixels import Pixels, Plan
from sweepmaker.data.options import SOURCES
from sweepmaker.data.source import SPLITS, ChannelSums, Source
from sweepmaker.data.splits import IntArray

KEY = "data.cache_uri"
_PATTERN = "pixels-*.cache"
_SECTIONS = ("source", "labels", "sums")
_SUMS = 7  # pixels; sums of three channels; sums of their squares
_MOST_PIXELS = 1 << 40  # of an image
# whatever hostile JSON makes of it: deep, huge, of other types, not even text
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


def pack(writer: Writer, source: Source, bad: Mapping[int, str]) -> None:
    """Append to a cache what `PackedSource` needs of ``source``.

    Args:
        writer: of the cache.
        source: checked.
        bad: what is wrong with the items that are left out.
    """
    count = len(source.labels)
    told = {
        "name": source.name,
        "class_names": source.class_names,
        "given": {split: items.tolist() for split, items in source.given.items()},
        "names": [source.item_name(item) for item in range(count)],
        "bad": {str(item): reason for item, reason in bad.items()},
    }
    sums = np.zeros((count, _SUMS), np.int64)
    for item in set(range(count)) - set(bad):
        found = source.channel_sums(np.array([item]))
        sums[item] = [found.pixels, *found.total, *found.squares]
    writer.section("source", np.frombuffer(json.dumps(told, ensure_ascii=False).encode(), np.uint8))
    writer.section("labels", source.labels)
    writer.section("sums", sums)


class PackedSource:
    """The data set that a cache was made of, without its images: ``load`` has nothing to give.

    Args:
        path: the cache.

    Raises:
        Damaged: the file is not whole, or says nothing of its source.
    """

    is_decoded = False

    def __init__(self, path: Path) -> None:
        blob = open_blob(path)
        self.pixels = Pixels(blob)
        self.path = path
        self.fingerprint = str(blob.about.get("fingerprint"))
        text, labels, sums = (blob.array(name) for name in _SECTIONS)
        try:
            told = json.loads(text.tobytes())
            self.name = str(told["name"])
            self.class_names = [str(name) for name in told["class_names"]]
            given = {str(split): list(items) for split, items in told["given"].items()}
            self._names = [str(name) for name in told["names"]]
            self._bad = {int(item): str(reason) for item, reason in told["bad"].items()}
            "".join(
                [self.fingerprint, self.name, *self.class_names, *self._names, *self._bad.values()]
            ).encode()
        except _UNREADABLE as error:
            raise Damaged(f"what it says of its source cannot be read ({error})") from error
        count = len(self._names)
        items = [item for each in (*given.values(), self._bad) for item in each]
        inside = all(type(item) is int and 0 <= item < count for item in items)
        if not (inside and set(given) <= set(SPLITS) and (not given or given.get("train"))):
            raise Damaged("what it says of its splits does not fit together")
        self.given: Mapping[str, IntArray] = {
            split: np.array(items, np.int64) for split, items in given.items()
        }
        self.labels: IntArray = labels
        self._sums: npt.NDArray[np.int64] = sums
        self._check_numbers(count)

    def _check_numbers(self, count: int) -> None:
        whole = [(self.labels, (count,)), (self._sums, (count, _SUMS))]
        if not all(array.dtype == np.int64 and array.shape == shape for array, shape in whole):
            raise Damaged("it has labels or sums of another shape")
        if count and not 0 <= self.labels.min() <= self.labels.max() < len(self.class_names):
            raise Damaged("it has labels of classes that it does not know")
        good = np.delete(self._sums, list(self._bad), axis=0)
        pixels, sums = good[:, :1], good[:, 1:]
        largest = np.clip(pixels, 0, _MOST_PIXELS) * np.array([255] * 3 + [255 * 255] * 3)
        if len(pixels) and not (0 < pixels.min() <= pixels.max() <= _MOST_PIXELS
                                and sums.min() >= 0 and (sums <= largest).all()):  # fmt: skip
            raise Damaged("its sums over pixels are impossible")

    def check(self) -> dict[int, str]:
        return dict(self._bad)

    def load(self, item: int) -> Tensor:
        raise DataError(
            f"{self._names[item]} is not in {self.path}, and its file is not here",
            fix=f"build it with the settings of this run: python data.py action=cache ..., or set {KEY}=null",
        )

    def load_unchanged(self, item: int) -> Tensor:
        return self.load(item)

    def item_name(self, item: int) -> str:
        return self._names[item]

    def channel_sums(self, items: IntArray) -> ChannelSums:
        sums = ChannelSums()
        for pixels, *channels in self._sums[items].tolist():
            sums.add(pixels, channels[:3], channels[3:])
        return sums

    def store(self) -> Path | None:
        return None


def open_packed(
    folder: Path, name: str, sides: set[int], plan: Callable[[PackedSource], Plan]
) -> PackedSource:
    """The cache in ``folder`` that has all images of a run.

    Args:
        folder: holds one or more caches; beside each it is kept that it was whole, where that can be written.
        name: of the source that the run is configured with.
        sides: short sides, px, all of which the run needs.
        plan: what the run needs of a data set.

    Raises:
        ConfigError: there is none, or none that fits, or several of different data, or of another source.
    """
    found: list[PackedSource] = []
    problems: list[str] = []
    for path in sorted(folder.glob(_PATTERN)):
        try:
            source = PackedSource(path)
        except (Damaged, OSError) as error:
            problems.append(f"{path.name}: {error}")
            continue
        if missing := sides - source.pixels.sides():
            has = ", ".join(map(str, sorted(source.pixels.sides())))
            problems.append(f"{path.name}: has short sides of {has} px, not {', '.join(map(str, missing))}")
        else:
            found.append(source)
    if not found:
        raise ConfigError(
            f"{folder} holds no cache for this run" + "".join(f"\n  {line}" for line in problems),
            key=KEY,
            allowed="a folder with what data.py action=cache made with this image_size and data.resize",
        )
    if len({source.fingerprint for source in found}) > 1:
        raise ConfigError(
            f"{folder} holds caches of different data: {', '.join(source.path.name for source in found)}",
            key=KEY,
            fix=f"a folder for each: {argv.word(KEY, folder / 'one')}",
        )
    _refuse_another_source(found[0], name)
    lacking = [(source, source.pixels.missing(plan(source))) for source in found]
    best, lacks = min(lacking, key=lambda each: len(each[1]))
    if len(lacks):
        raise ConfigError(
            f"{best.path} lacks {len(lacks)} of the images of this run, such as "
            f"{best.item_name(int(lacks[0]))}",
            key=KEY,
            allowed="a cache built with the splits and limits of this run",
            fix="python data.py action=cache with the same data.splits, data.limit and seed",
        )
    return best


def _refuse_another_source(source: PackedSource, name: str) -> None:
    if source.name != name:
        raise ConfigError(
            f"{source.path} is a cache of data.source={source.name}",
            key="data.source",
            allowed="the source that the cache was made of",
            fix=f"data.source={source.name}" if source.name in SOURCES else f"another {KEY}",
        )
