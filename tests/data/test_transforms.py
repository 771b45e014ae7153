"""Evaluation gives Pillow's pixels; training draws from its own stream only."""

from __future__ import annotations

import io
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sweepmaker.data.decode import decode_image
from sweepmaker.data.transforms import (
    EvaluationTransform,
    TrainingTransform,
    crop_box,
    evaluation_transform,
    normalise,
)
from tests.images import photo_jpeg


def pillow_evaluation(data: bytes, resize: int, size: int) -> torch.Tensor:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    short = min(width, height)
    wide, high = int(resize * width / short), int(resize * height / short)
    image = image.resize((wide, high), Image.Resampling.BICUBIC)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    image = image.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.mark.parametrize(("resize", "size"), [(128, 128), (146, 128), (260, 260), (288, 260)])
@pytest.mark.parametrize("shape", [(500, 375), (333, 501)])
def test_evaluation_equals_pillows_bicubic(resize: int, size: int, shape: tuple[int, int]) -> None:
    data = photo_jpeg(7, shape)
    transform = evaluation_transform({"resize": resize, "image_size": size})
    ours = transform(decode_image(bytearray(data), name="x"))
    assert ours.dtype == torch.uint8 and tuple(ours.shape) == (3, size, size)
    difference = (ours.int() - pillow_evaluation(data, resize, size).int()).abs().max()
    assert difference <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 20_000), (20_000, 1), (300, 20_000), (2, 3)])
def test_extreme_shapes(shape: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    evaluation = EvaluationTransform(36, 32)
    training = TrainingTransform(32, (0.25, 1.0), 0.5, False, evaluation)
    for done in (evaluation(image), training(image, Random(0))):
        assert tuple(done.shape) == (3, 32, 32) and done.dtype == torch.uint8


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    low=st.floats(0.01, 1),
    seed=st.integers(0, 2**32),
)
def test_a_crop_lies_inside_the_image(height: int, width: int, low: float, seed: int) -> None:
    top, left, h, w = crop_box((height, width), (low, 1.0), Random(seed))
    assert h >= 1 and w >= 1 and top >= 0 and left >= 0
    assert top + h <= height and left + w <= width


def test_crops_cover_the_share_and_the_aspect_that_were_asked_for() -> None:
    boxes = [crop_box((400, 400), (0.25, 0.5), Random(seed)) for seed in range(300)]
    shares = [h * w / 400**2 for _, _, h, w in boxes]
    assert 0.245 < min(shares) < 0.27 and 0.48 < max(shares) < 0.505
    aspects = [w / h for _, _, h, w in boxes]
    assert 0.74 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.35


@pytest.mark.parametrize("trivial", [False, True])
def test_training_leaves_the_global_generators_alone(trivial: bool) -> None:
    image = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    training = TrainingTransform(32, (0.25, 1.0), 0.5, trivial, EvaluationTransform(32, 32))
    before = torch.get_rng_state()
    first, again, other = (training(image, Random(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_flip_happens_as_often_as_configured() -> None:
    image = torch.arange(8, dtype=torch.uint8).expand(3, 8, 8)
    training = TrainingTransform(8, None, 0.25, False, EvaluationTransform(8, 8))
    flipped = sum(int(training(image, Random(seed))[0, 0, 0] == 7) for seed in range(1000))
    assert 200 < flipped < 300


def test_normalise() -> None:
    batch = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    batch = batch.contiguous(memory_format=torch.channels_last)
    mean, std = (0.1, 0.5, 0.7), (0.2, 0.3, 0.4)
    done = normalise(batch, mean, std)
    expected = (batch / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert done.dtype == torch.float32
    assert done.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(done, expected, atol=1e-6, rtol=1e-5)
