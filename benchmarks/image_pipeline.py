"""Images a second and core of our training data path against Pillow + torchvision v1.

Both read the same photo-like JPEGs (about 500 x 375 px) from disk and end with normalised float
batches: random resized crop (bicubic, antialias) and flip. Pillow's way is torchvision's own
ImageFolder with v1 transforms. A second part holds our evaluation pixels against Pillow's.

    python benchmarks/image_pipeline.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from benchmarks.timing import ONE_THREAD, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

os.environ.update(ONE_THREAD)

import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms as v1
from torchvision.datasets import ImageFolder

from benchmarks.photos import photo_tree
from sweepmaker.data import ImageDataModule
from sweepmaker.data.decode import read_image
from sweepmaker.data.transforms import evaluation_transform, normalise

TARGETS = {260: 1.9, 128: 1.7}  # times as fast, by edge in px
CACHED_TARGETS = {260: 4.5, 128: 6.0}  # with data.cache=disk
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def ours(root: Path, size: int, cache: str = "none") -> Callable[[], int]:
    """One epoch of ImageDataModule's train loader, normalised per batch."""
    data = ImageDataModule(
        source="folder", root=str(root), image_size=size, batch_size=BATCH, seed=0, num_workers=0,
        splits={"valid": 0.1, "test": 0.1}, stats="imagenet", on_bad_image="stop", resize=None,
        augment={"crop_scale": [0.25, 1.0], "hflip": 0.5, "trivial_augment": False},
        max_pixels=10**8, limit={}, cache=cache,
    )  # fmt: skip
    data.setup("fit")
    loader = data.train_dataloader()

    def epoch() -> int:
        return sum(len(normalise(images, MEAN, STD)) for images, _ in loader)

    return epoch


def pillow(root: Path, size: int, mode: v1.InterpolationMode) -> Callable[[], int]:
    """One epoch of torchvision's ImageFolder in a default DataLoader."""
    transform = v1.Compose(
        [
            v1.RandomResizedCrop(size, scale=(0.25, 1.0), interpolation=mode),
            v1.RandomHorizontalFlip(),
            v1.ToTensor(),
            v1.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(ImageFolder(str(root / "train"), transform), BATCH, shuffle=True)

    def epoch() -> int:
        return sum(len(images) for images, _ in loader)

    return epoch


def images_a_second(epoch: Callable[[], int]) -> float:
    """Images that came out of one epoch, by the CPU time it took."""
    start = time.process_time()
    images = epoch()
    return images / (time.process_time() - start)


def largest_difference(root: Path, size: int) -> float:
    """Largest difference of evaluation pixels to Pillow's bicubic, in [0, 1]."""
    resize = round(size * 1.1)
    our_way = evaluation_transform({"image_size": size, "resize": resize})
    their_way = v1.Compose(
        [v1.Resize(resize, v1.InterpolationMode.BICUBIC), v1.CenterCrop(size), v1.PILToTensor()]
    )
    largest = 0
    for path in sorted(root.rglob("*.jpg")):
        expected = their_way(Image.open(path).convert("RGB"))
        found = our_way(read_image(path))
        largest = max(largest, int((found.int() - expected.int()).abs().max()))
    return largest / 255


def main() -> None:
    parser = make_parser(__doc__, repeats=5)
    parser.add_argument("--images", type=int, default=128, help="JPEGs (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = Report("image pipeline, one core", "images/s of CPU time")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        photo_tree(root, options.images)
        for size, target in TARGETS.items():
            epochs = {
                "ours": ours(root, size),
                "ours, cached": ours(root, size, "disk"),
                "PIL + v1": pillow(root, size, v1.InterpolationMode.BICUBIC),
                "PIL + v1, bilinear": pillow(root, size, v1.InterpolationMode.BILINEAR),
            }
            work = {name: lambda run=run: images_a_second(run) for name, run in epochs.items()}
            speeds = interleave(work, repeats=options.repeats)
            for name, values in speeds.items():
                report.add(f"{name}, {size} px", values)
            value = paired_ratio(speeds["ours"], speeds["PIL + v1"])
            report.ratios.append(Ratio(f"ours / PIL + torchvision v1, {size} px", value, target))
            cached = paired_ratio(speeds["ours, cached"], speeds["PIL + v1"])
            name = f"ours with data.cache=disk / PIL + torchvision v1, {size} px"
            report.ratios.append(Ratio(name, cached, CACHED_TARGETS[size]))
            difference = largest_difference(root, size)
            name = f"largest difference of evaluation pixels to Pillow's bicubic, {size} px, x 255"
            report.ratios.append(Ratio(name, difference * 255, 1.0, at_most=True))
    finish(report, options)


if __name__ == "__main__":
    main()
