"""The figures that the README and the issues promise, by real training runs: minutes each."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from sweepmaker.metrics import line
from tests.integration.runs import train
from tests.needs import needs_package

pytestmark = [pytest.mark.accept, pytest.mark.timeout(3600)]

SEEDS = (0, 1, 2)


def test_digits_from_scratch(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """EfficientNet-B2 on digits: at least 95 % test top-1, mean of 3 seeds."""
    top1, seconds = [], []
    for seed in SEEDS:
        folder = tmp_path / str(seed)
        ended = train(
            "+experiment=b2", f"seed={seed}", f"hydra.run.dir={folder}", timeout=1800, OMP_NUM_THREADS=""
        )
        assert ended.code == 0, ended.err
        top1.append(line.parse(ended.out, "test/top1")[-1])
        seconds.append(json.loads((folder / "run.json").read_text())["timing"]["fit_seconds"])
    figure = {
        "top1": top1,
        "mean": statistics.mean(top1),
        "sd": statistics.stdev(top1),
        "fit_seconds": seconds,
    }
    record_property("figure", figure)
    print(figure)
    assert statistics.mean(top1) >= 0.95


@pytest.mark.parametrize(
    ("weights", "least", "most"), [("efficientnet-lite2", 0.84, 1.0), ("none", 0.0, 0.78)]
)
def test_head_on_fashion_mnist(
    weights: str, least: float, most: float, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """Real ImageNet weights transfer: 5,000 training images at 96 px, only the head trains."""
    needs_package("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist")
    ended = train(
        "+experiment=head", "data=fashion_mnist", f"model.weights={weights}", "data.limit.train=5000",
        "data.limit.valid=1000", f"hydra.run.dir={tmp_path}", timeout=1800, OMP_NUM_THREADS="",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    top1 = line.parse(ended.out, "test/top1")[-1]
    record_property("figure", top1)
    print(weights, top1)
    assert least <= top1 <= most
