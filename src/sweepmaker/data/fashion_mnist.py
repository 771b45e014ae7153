"""Fashion-MNIST from idx files: as Debian installs them, or a torchvision folder."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.source import ArraySource

DEBIAN_ROOT = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
_IMAGES_MAGIC = 0x00000803  # idx format: unsigned bytes, three dimensions
_LABELS_MAGIC = 0x00000801
_FILES = {"train": "train", "test": "t10k"}


def fashion_mnist(root: Path | None) -> ArraySource:
    """60,000 training images (``valid`` is carved from them) and 10,000 for the test.

    Args:
        root: folder with the idx files, gzipped or not, or a torchvision root above
            ``FashionMNIST/raw``; None takes Debian's place for them.

    Raises:
        ConfigError: the files are not there.
        DataError: a file is not what its name says.
    """
    folder = _folder(root or DEBIAN_ROOT)
    images, labels = [], []
    for prefix in _FILES.values():
        pixels, classes = _read_pair(folder, prefix)
        images.append(pixels)
        labels.append(classes.astype(np.int64))
    first = len(labels[0])
    given = {
        "train": np.arange(first, dtype=np.int64),
        "test": np.arange(first, first + len(labels[1]), dtype=np.int64),
    }
    every = np.concatenate(labels)
    return ArraySource("fashion_mnist", CLASS_NAMES, np.concatenate(images), every, given)


def _folder(root: Path) -> Path:
    places = [root, root / "FashionMNIST" / "raw", root / "raw"]
    for place in places:
        if all(_find(place, name) for name in _names()):
            return place
    looked = ", ".join(str(place) for place in places[:2])
    missing = [name for name in _names() if not any(_find(place, name) for place in places)]
    raise ConfigError(
        f"the Fashion-MNIST files {', '.join(missing) or 'are in different folders: '} "
        f"were not found (looked in {looked})",
        key="data.root",
        allowed="a folder with the four idx files (.gz or not), or a torchvision root",
        fix="apt-get install dataset-fashion-mnist, or data.root=FOLDER",
    )


def _names() -> list[str]:
    kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return [f"{prefix}-{kind}" for prefix in _FILES.values() for kind in kinds]


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _read_pair(folder: Path, prefix: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    images_file = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_file = _find(folder, f"{prefix}-labels-idx1-ubyte")
    assert images_file is not None and labels_file is not None  # _folder() saw them
    images = _read_idx(images_file, _IMAGES_MAGIC)
    labels = _read_idx(labels_file, _LABELS_MAGIC)
    if len(images) != len(labels):
        raise DataError(f"{images_file} has {len(images)} images, {labels_file} has {len(labels)} labels")
    if len(labels) and int(labels.max()) >= len(CLASS_NAMES):
        raise DataError(f"{labels_file}: class {int(labels.max())}, only 0..9 exist")
    return images, labels


def _read_idx(path: Path, magic: int) -> npt.NDArray[np.uint8]:
    """One idx file: magic number, sizes as big-endian 32-bit integers, then the bytes."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}", fix="install or download it again") from error
    dimensions = magic & 0xFF
    header = 4 + 4 * dimensions
    sizes = np.frombuffer(content[4:header], dtype=">u4").tolist()
    expected = header + int(np.prod(sizes)) if len(sizes) == dimensions else -1
    if int.from_bytes(content[:4], "big") != magic or len(content) != expected:
        raise DataError(
            f"{path} is not a whole idx file (unsigned bytes, {dimensions} dimensions)",
            fix="install or download it again",
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(sizes)
