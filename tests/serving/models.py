"""Model artifacts made in a moment: written as a run writes them, of networks that nobody trained."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from omegaconf import OmegaConf
from PIL import Image

from sweepmaker.models.classifier import Classifier
from sweepmaker.run import artifact
from tests.images import encoded, photo

SPEC: dict[str, Any] = {
    "image_size": 32,
    "resize": 36,
    "interpolation": "bicubic",
    "antialias": True,
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.25],
}


class Described(LightningDataModule):
    """What an artifact says of its data, and nothing else."""

    def __init__(self, classes: Sequence[str], spec: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.class_names = list(classes)
        self._spec = SPEC if spec is None else spec

    def transform_spec(self) -> dict[str, Any]:
        return self._spec


def _pictures(count: int, size: int) -> torch.Tensor:
    """Detail at every scale, as in images; of white noise alone a network makes nearly nothing."""
    tints = torch.randn(count, 3, 1, 1)
    layers = [torch.randn(count, 3, 2**n, 2**n) * 0.7**n for n in range(1, size.bit_length())]
    return tints + sum(torch.nn.functional.interpolate(layer, (size, size)) for layer in layers)


def classifier(
    classes: int = 3, network: str = "mobilenet_v3_small", library: str = "torchvision", seed: int = 0
) -> Classifier:
    """A network whose answers differ between images: statistics of its batch norms are those of noise."""
    torch.manual_seed(seed)
    module = Classifier(
        name=network, library=library, num_classes=classes, weights="none",
        optimizer=functools.partial(torch.optim.SGD, lr=0.1),
    )  # fmt: skip
    module.channels_last = True  # as training on a CPU has it
    module.to(memory_format=torch.channels_last)
    module.eval()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.train()
                layer.momentum = None  # a plain mean
        for _ in range(2):
            module.network(_pictures(48, 32))
        head: Any = module.heads()[0]
        module.eval()
        logits = module.network(_pictures(48, 32))
        head.bias -= logits.mean(dim=0)  # each class is the best one of some images
        for parameter in (head.weight, head.bias):
            parameter *= 3 / logits.std(dim=0).mean()
    return module.eval()


def make_model(
    folder: Path,
    module: LightningModule | None = None,
    *,
    classes: Sequence[str] = ("cat", "dog", "owl"),
    spec: dict[str, Any] | None = None,
    target: str = "sweepmaker.models.Classifier",
    **config: Any,
) -> Path:
    """Write ``folder/model`` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = OmegaConf.create({"model": {"_target_": target, **config}})
    module = classifier(len(classes)) if module is None else module
    artifact.export(folder / "model", module, Described(classes, spec), cfg, None)
    return folder / "model"


def odd_images() -> dict[str, bytes]:
    """Files as people have them, by what is odd about them; the ending is no part of it."""
    picture = photo(3, (61, 45))
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = picture.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 61).astype(np.uint8), (45, 1))))
    sixteen = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    return {
        "jpeg": encoded(picture, "JPEG", quality=90),
        "progressive": encoded(picture, "JPEG", progressive=True),
        "turned": encoded(picture, "JPEG", exif=exif),
        "turned png": encoded(picture, "PNG", exif=exif),
        "gray": encoded(picture.convert("L"), "JPEG"),
        "cmyk": encoded(picture.convert("CMYK"), "JPEG"),
        "png": encoded(picture, "PNG"),
        "alpha": encoded(alpha, "PNG"),
        "palette": encoded(picture.convert("P"), "PNG"),
        "sixteen bits": encoded(sixteen, "PNG"),
        "webp": encoded(picture, "WEBP", quality=80),
        "webp with alpha": encoded(alpha, "WEBP", lossless=True),
        "gif": encoded(picture.convert("P"), "GIF"),
        "bmp": encoded(picture, "BMP"),
        "tiff": encoded(picture, "TIFF", compression="tiff_lzw"),
        "long": encoded(photo(4, (400, 9)), "JPEG"),
        "one pixel": encoded(photo(5, (1, 1)), "PNG"),
    }


def opened(content: bytes) -> Image.Image:
    """An encoded image, for tests that change it."""
    return Image.open(io.BytesIO(content))


class Nowhere:
    """An engine whose logits are nan for the last image."""

    name, device = "plain", "cpu"

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        logits = torch.tensor([[0.0, 1.0, 2.0]]).repeat(len(batch), 1)
        logits[-1] = torch.nan
        return logits
