"""Load below and above what the server can answer: right answers, refusals with a time, nothing dropped."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from sweepmaker.data.decode import decode_image
from sweepmaker.data.transforms import evaluation_transform, normalise
from sweepmaker.models.classifier import Classifier
from tests.images import photo_jpeg
from tests.serving.models import classifier, make_model
from tests.serving.server.load import Load, Question, Result
from tests.serving.server.servers import Server, command, listening

CLIENTS = 8
MORE_MEMORY = 1.05  # times what was taken at the beginning, and
MORE_BYTES = 32 << 20
SPEC: dict[str, Any] = {
    "image_size": 224, "resize": 256, "interpolation": "bicubic", "antialias": True,
    "mean": [0.5] * 3, "std": [0.25] * 3,
}  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with listening(command(make_model(tmp_path, network(), spec=SPEC))) as running:
        running.plan()
        yield running


def network() -> Classifier:
    """Whose answers differ between photographs: its batch norms have seen some of that size."""
    module = classifier(3).train()
    seen = torch.stack([evaluation_transform(SPEC)(pixels(seed)) for seed in range(8)])
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
        module.network(normalise(seen, SPEC["mean"], SPEC["std"]))
    return module.eval()


def pixels(seed: int) -> torch.Tensor:
    return decode_image(bytearray(photo_jpeg(seed)), name="photo")


def questions(server: Server) -> list[Question]:
    """Different photographs, with what a server says that has nothing else to do."""
    found = []
    for seed in range(16):
        body = photo_jpeg(seed, (500 - 10 * seed, 375))
        answer = server.ask(
            "POST", "/invocations", body, content_type="image/jpeg", accept="application/json"
        )
        assert answer.status == 200
        found.append(Question(body, "image/jpeg", answer.body))
    assert len({question.answer for question in found}) == len(found)
    return found


def under_load(server: Server, measuring_s: float, below_s: float, above_s: float) -> list[Result]:
    load = Load(server, questions(server))
    load.closed(CLIENTS, measuring_s / 2)
    most = load.closed(CLIENTS, measuring_s)
    below = load.at_rate(0.9 * most.rate, below_s)
    above = load.at_rate(1.5 * most.rate, above_s)
    for name, one in (("as many as it answers", most), ("at 90 %", below), ("at 150 %", above)):
        print(f"{name}, {one}")
    for one in (most, below, above):
        assert one.wrong == [] and one.dropped == [] and one.refused == 0
        assert set(one.statuses) <= {200, 429, 503}
    assert set(most.statuses) == {200}
    assert server.metric("sweepmaker_workers_replaced_total") == 0
    return [most, below, above]


def flat(memory: list[int]) -> bool:
    """Whether the last quarter takes no more than the first one after the start did."""
    quarter = max(1, len(memory) // 4)
    first, last = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
    return last <= first * MORE_MEMORY + MORE_BYTES


def ended_under_load(server: Server, rate: float, seconds: float) -> Result:
    result = Load(server, questions(server)).at_rate(rate, seconds, then_end=True)
    print(f"SIGTERM at {rate:.0f} requests/s, {result}, refused after the end {result.refused}")
    assert result.wrong == [] and result.dropped == []
    assert set(result.statuses) <= {200, 429, 503} and result.statuses[200] > 0
    assert result.refused > 0  # it has ended meanwhile
    assert server.process.wait(60) == 0
    return result


@pytest.mark.slow
def test_a_little_load(server: Server) -> None:
    _, below, above = under_load(server, 2, 5, 5)
    assert above.latencies and flat(below.memory + above.memory)
    ended_under_load(server, 1.2 * below.rate, 5)


@pytest.mark.accept
@pytest.mark.timeout(3600)
def test_ten_minutes_of_load_and_ten_of_overload(
    server: Server, record_property: pytest.RecordProperty
) -> None:
    most, below, above = under_load(server, 20, 600, 600)
    record_property("figure", [str(most), str(below), str(above)])
    assert above.statuses[503] > 0  # else it was no overload
    assert flat(below.memory) and flat(above.memory)
    ended_under_load(server, 1.2 * most.rate, 10)
