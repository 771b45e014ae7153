"""Generated JPEGs that cost what photographs cost: natural spectrum, about 500 x 375 px and 43 KB.

The amplitude of natural images falls as 1/f (Field, 1987), which decides how well JPEG compresses
them and so how long they take to decode.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375  # px, as most of dogImages and ImageNet
QUALITY = 88
STEEPNESS = 1.4  # of the amplitude spectrum; what a lens and a resize leave of a photograph
CLASSES = 4


def photo(seed: int) -> Image.Image:
    """An RGB image with a 1/f spectrum and correlated channels; its size varies by a few px."""
    random = np.random.default_rng(seed)
    width, height = WIDTH + int(random.integers(-20, 21)), HEIGHT + int(random.integers(-20, 21))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1 / max(width, height)

    def layer() -> np.ndarray:
        spectrum = np.fft.rfft2(random.standard_normal((height, width))) / frequency**STEEPNESS
        values = np.fft.irfft2(spectrum, s=(height, width))
        return (values - values.mean()) / values.std()

    shared = layer()
    channels = [128 + 45 * (shared + 0.25 * layer()) for _ in range(3)]
    return Image.fromarray(np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8))


def write_photo_folder(root: Path, splits: dict[str, int]) -> None:
    """Write ``root/SPLIT/CLASS/NUMBER.jpg`` with that many images a split."""
    seed = 0
    for split, count in splits.items():
        for number in range(count):
            folder = root / split / f"class{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            image = photo(seed := seed + 1)
            image.save(folder / f"{number:04}.jpg", quality=QUALITY, subsampling="4:2:0")
