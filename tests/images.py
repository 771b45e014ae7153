"""Generated images for tests and benchmarks: photo-like JPEGs, and small folders of classes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def photo(seed: int = 0, size: tuple[int, int] = (500, 375)) -> Image.Image:
    """An RGB image (width, height) with the spectrum of a photograph: detail at every scale."""
    random = np.random.default_rng(seed)
    width, height = size
    pixels = np.zeros((height, width, 3), dtype=np.float32)
    octave, strength = 4, 1.0
    while octave < max(size) * 2:
        shape = (max(1, octave * height // width), octave, 3)
        noise = random.normal(size=shape).astype(np.float32) * 40 + 128
        layer = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
        pixels += strength * (np.asarray(layer.resize(size, Image.Resampling.BICUBIC)) - 128.0)
        octave, strength = octave * 2, strength * 0.7
    tint = random.integers(90, 166, 3)
    return Image.fromarray((pixels + tint).clip(0, 255).astype(np.uint8))


def photo_jpeg(seed: int = 0, size: tuple[int, int] = (500, 375), quality: int = 88) -> bytes:
    """``photo`` as a JPEG with 4:2:0 subsampling (about 45 KB at the default size)."""
    return encoded(photo(seed, size), "JPEG", quality=quality, subsampling="4:2:0")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of ``image`` in Pillow's format ``kind``."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def photo_folder(root: Path, count: int, size: tuple[int, int] = (500, 375)) -> list[Path]:
    """Write ``count`` photo-like JPEGs into one folder and return their paths."""
    root.mkdir(parents=True, exist_ok=True)
    paths = [root / f"{number:05d}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(photo_jpeg(number, size))
    return paths


def class_tree(
    root: Path,
    classes: Sequence[str] = ("cat", "dog"),
    *,
    splits: Sequence[str] = ("train", "valid", "test"),
    images: int = 4,
    size: tuple[int, int] = (24, 18),
) -> Path:
    """``ROOT/SPLIT/CLASS/0.jpg`` ...; without ``splits`` the classes lie directly in the root."""
    seed = 0
    for split in splits or ("",):
        for name in classes:
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(images):
                (folder / f"{number}.jpg").write_bytes(photo_jpeg(seed, size))
                seed += 1
    return root
