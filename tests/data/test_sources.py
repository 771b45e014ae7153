"""The two sources that need no folder of images."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data.digits import digits
from sweepmaker.data.fashion_mnist import fashion_mnist

FILES = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    reference = load_digits()
    source = digits()
    assert source.labels.tolist() == reference.target.tolist()
    assert source.class_names == [str(digit) for digit in range(10)]
    for item in (0, 900, 1796):
        image = source.load(item)
        assert image.dtype == torch.uint8 and tuple(image.shape) == (3, 8, 8)
        expected = torch.from_numpy(reference.images[item]) * 255 / 16
        assert (image - expected).abs().max() <= 0.5
    assert source.load(0).max() <= 255 and source.check() == {}


def idx(folder: Path, *, compress: bool, train: int = 30, test: int = 10) -> Path:
    """A tiny Fashion-MNIST: images whose every pixel is the label."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = np.repeat(labels, 28 * 28).reshape(count, 28, 28)
        for name, magic, values in (
            (f"{prefix}-images-idx3-ubyte", 0x803, images),
            (f"{prefix}-labels-idx1-ubyte", 0x801, labels),
        ):
            header = np.array([magic, *values.shape], dtype=">u4").tobytes()
            content = header + values.tobytes()
            if compress:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"])
@pytest.mark.parametrize("compress", [True, False])
def test_fashion_mnist_as_debian_or_torchvision_have_it(tmp_path: Path, below: str, compress: bool) -> None:
    idx(tmp_path / below, compress=compress)
    source = fashion_mnist(tmp_path)
    assert {split: len(items) for split, items in source.given.items()} == {
        "train": 30,
        "test": 10,
    }
    assert len(source.class_names) == 10
    for item in (3, 33):
        assert torch.equal(source.load(item), torch.full((3, 28, 28), 3, dtype=torch.uint8))
        assert source.labels[item] == 3


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    raw = fashion_mnist(idx(tmp_path / "raw", compress=False)).fingerprint
    packed = fashion_mnist(idx(tmp_path / "gz", compress=True)).fingerprint
    other = fashion_mnist(idx(tmp_path / "other", compress=True, train=31)).fingerprint
    assert raw == packed != other


def test_missing_files_name_the_install_command(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        fashion_mnist(tmp_path)
    assert caught.value.key == "data.root"
    assert "apt-get install dataset-fashion-mnist" in str(caught.value)
    assert all(name in str(caught.value) for name in FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, damage: str) -> None:
    path = idx(tmp_path, compress=True) / f"{name}.gz"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else gzip.compress(b"no"))
    with pytest.raises(DataError, match=name):
        fashion_mnist(tmp_path)


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    idx(tmp_path, compress=False)
    other = idx(tmp_path / "other", compress=False, train=29)
    (tmp_path / FILES[1]).write_bytes((other / FILES[1]).read_bytes())
    with pytest.raises(DataError, match=r"30 images.*29 labels"):
        fashion_mnist(tmp_path)
