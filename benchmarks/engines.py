"""How fast each engine computes one image, and eight, against PyTorch as one would write it.

EfficientNet-B2 at 260 px with 133 classes, the founding case; the peer is the network in eval mode under
``torch.inference_mode``, float32, contiguous. CPU time of one thread. Whether the best class is the same is
asked on photo-like images, with the real weights of EfficientNet-Lite2.

    python benchmarks/engines.py
"""

from __future__ import annotations

import copy
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
from benchmarks.timing import ONE_THREAD, Ratio, Report, finish, interleave, paired_ratio
from benchmarks.timing import parser as make_parser

os.environ.update(ONE_THREAD)

import numpy as np
import torch
from torch import Tensor, nn

from sweepmaker.data.transforms import EvaluationTransform, normalise
from sweepmaker.models.networks import build_network
from sweepmaker.models.weights import initialised_network
from sweepmaker.serving.engines.base import Engine
from sweepmaker.serving.engines.eager import Eager, Plain
from sweepmaker.serving.engines.onnx import Onnx
from sweepmaker.serving.engines.openvino import OpenVino, instruction
from tests.images import photo

SIZE, CLASSES = 260, 133
TARGET = 1.8  # of the default engine, one image
IMAGES = 60


def engines(network: nn.Module, size: int) -> dict[str, Engine]:
    """The peer first, then every engine that this machine has."""
    made: dict[str, Engine] = {
        "peer": Plain(copy.deepcopy(network), "cpu", channels_last=False),
        "plain": Plain(copy.deepcopy(network), "cpu", channels_last=True),
        "eager": Eager(network, size, "cpu", channels_last=True),
        "onnx": Onnx(network, size, 1),
    }
    if instruction():
        made["openvino"] = OpenVino(network, size, 1)
    return made


def photos(mean: float, std: float) -> Tensor:
    """Real photographs in many crops, and generated ones: float32 [IMAGES, 3, SIZE, SIZE]."""
    from skimage import data

    real = [data.chelsea(), data.coffee(), data.astronaut(), data.rocket()]
    random = np.random.default_rng(0)
    transform = EvaluationTransform(resize=292, size=SIZE)
    images = []
    for number in range(IMAGES):
        pixels = np.asarray(photo(number)) if number % 3 == 0 else real[number % len(real)]
        height, width = pixels.shape[:2]
        top, left = (int(random.integers(0, edge // 3)) for edge in (height, width))
        cut = np.ascontiguousarray(pixels[top : top + 2 * height // 3, left : left + 2 * width // 3])
        images.append(transform(torch.from_numpy(cut).permute(2, 0, 1)))
    return normalise(torch.stack(images), [mean] * 3, [std] * 3)


def timed(engine: Engine, batch: Tensor, calls: int) -> Callable[[], float]:
    def run() -> float:
        began = time.process_time()
        for _ in range(calls):
            engine(batch)
        return (time.process_time() - began) / calls / len(batch) * 1e3

    return run


def agreement() -> dict[str, float]:
    """Share of the photographs whose best of 1,000 classes is the peer's, by engine."""
    spec = {"library": "timm", "name": "tf_efficientnet_lite2", "num_classes": 1000, "dropout": None}
    network, _ = initialised_network(spec, "efficientnet-lite2", timeout_s=0)
    made = engines(network.eval().requires_grad_(False), SIZE)
    images = photos(0.5, 0.5)
    best = {
        name: torch.cat([engine(image[None]) for image in images]).argmax(1) for name, engine in made.items()
    }
    print(f"{len(set(best['peer'].tolist()))} different classes among {len(images)} photographs")
    return {name: float((found == best["peer"]).float().mean()) for name, found in best.items()}


def main() -> None:
    options = make_parser(__doc__, repeats=7).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_network(
        {"library": "torchvision", "name": "efficientnet_b2", "num_classes": CLASSES, "dropout": None}
    )
    made = engines(network.eval().requires_grad_(False), SIZE)
    report = Report("one image and eight, EfficientNet-B2 at 260 px, one thread", "ms of CPU an image")
    for count, calls in ((1, 6), (8, 1)):
        batch = torch.randn(count, 3, SIZE, SIZE)
        figures = interleave(
            {name: timed(engine, batch, calls) for name, engine in made.items()}, repeats=options.repeats
        )
        for name, values in figures.items():
            report.add(f"{name}, {count}", values)
        for name in [*made][1:]:
            target = TARGET if name == "onnx" and count == 1 else 1.0
            value = paired_ratio(figures["peer"], figures[name])
            report.ratios.append(
                Ratio(f"{name} against eager PyTorch, images at a time: {count}", value, target)
            )
    for name, share in agreement().items():
        if name != "peer":  # in bfloat16 two classes that are equally good may change places
            target = 0.95 if name == "openvino" else 1.0
            report.ratios.append(Ratio(f"{name}: same best class as eager PyTorch", share, target))
    finish(report, options)


if __name__ == "__main__":
    main()
