"""Training on cached images is statistically equal to training on the images themselves.

Evaluation sees the same pixels bit for bit. Random crops are cut from a copy a little larger than the
network's input instead of from the original, so other pixels of the same view: the same seed gives another
run. What is stated: over ten seeds the 95 % interval of the paired differences in test accuracy includes 0.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torchvision.io import write_jpeg

from sweepmaker.data import ImageDataModule
from sweepmaker.metrics import line
from tests.integration.runs import train
from tests.needs import needs_package

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]

SEEDS = range(10)
STUDENT = 2.262  # 97.5 % quantile of Student's t with 9 degrees of freedom
COUNTS = {"train": 1000, "valid": 200, "test": 1000}
SIDE = 224  # px of the files; the network sees 96


def photographs(root: Path) -> None:
    """Real garments of Fashion-MNIST as large JPEGs, so that reading them means decoding and shrinking."""
    data = ImageDataModule(source="fashion_mnist", image_size=28, batch_size=1, seed=0, limit=COUNTS)
    data.setup()
    for split in COUNTS:
        dataset = data.dataset(split)
        for number, item in enumerate(dataset.items.tolist()):
            folder = root / split / data.class_names[dataset.source.labels[item]].replace("/", "-")
            folder.mkdir(parents=True, exist_ok=True)
            image = data.source.load(item)[None].float()
            large = functional.interpolate(image, (SIDE, SIDE), mode="bicubic").clamp(0, 255).byte()[0]
            write_jpeg(large, str(folder / f"{number}.jpg"), quality=90)


def test_ten_seeds(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    needs_package("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist")
    torch.set_num_threads(1)
    photographs(tmp_path / "photos")
    differences: list[float] = []
    values: list[dict[str, float]] = []
    for seed in SEEDS:
        found: dict[str, Any] = {}
        for cache in ("none", "disk"):
            folder = tmp_path / f"{cache}-{seed}"
            ended = train(
                "data=folder", f"data.root={tmp_path / 'photos'}", f"data.cache={cache}", f"seed={seed}",
                "model=lite2", "model.finetune=head", "image_size=96", "batch_size=32", "epochs=4", "lr=3e-3",
                "data.stats={mean:[0.5,0.5,0.5],std:[0.5,0.5,0.5]}", "estimate=false",
                f"hydra.run.dir={folder}", timeout=1800,
            )  # fmt: skip
            assert ended.code == 0, ended.err
            record = json.loads((folder / "run.json").read_text())
            assert record["choices"]["data.cache"]["value"] == cache
            found[cache] = line.parse(ended.out, "test/top1")[-1]
        values.append(found)
        differences.append(found["disk"] - found["none"])
    mean = statistics.mean(differences)
    half = STUDENT * statistics.stdev(differences) / len(differences) ** 0.5
    figure = {
        "values": values,
        "differences": differences,
        "mean": mean,
        "interval": [mean - half, mean + half],
    }
    record_property("figure", figure)
    print(figure)
    assert min(min(each.values()) for each in values) > 0.6, "nothing was learnt, so nothing was compared"
    assert mean - half <= 0 <= mean + half
