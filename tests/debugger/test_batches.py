"""What batches and modules of any kind make of the observations: labels, losses, units, leftover hooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from sweepmaker.debugger import batches
from sweepmaker.debugger.activations import WINDOW, Activations, inactive
from sweepmaker.debugger.pending import FirstBatches
from tests.debugger.networks import deep_net


def test_a_batch_with_names_says_which_numbers_are_labels() -> None:
    batch = {
        "index": torch.tensor([10**9, 7]),
        "image": torch.zeros(2, 3, 4, 4),
        "label": torch.tensor([1, 0]),
    }
    labels = batches.labels_of(batch)
    assert labels is not None and labels.tolist() == [1, 0]
    assert batches.labels_of({"image": batch["image"], "label": torch.zeros(2, 5)}) is None, "soft labels"


def test_numbers_of_something_else_are_not_counted_as_classes() -> None:
    for number in (10**12, -1):  # a list up to it would take all memory
        first = FirstBatches(0, 2)
        first.add_labels(torch.tensor([0, number]))
        assert first.labels() is None
    first = FirstBatches(0, 2)
    first.add_labels(torch.tensor([0, 2]))
    assert first.labels() == [1, 0, 1]


def test_images_of_another_kind_begin_anew() -> None:
    first = FirstBatches(4, 0)
    for channels in (1, 3, 3):
        images = torch.ones(2, channels, 4, 4)
        first.add_images(batches.moments(images), len(images), 16)
    seen = first.images()
    assert seen is not None
    assert (seen["count"], seen["mean"], seen["std"]) == (4, [1.0] * 3, [0.0] * 3)


def test_a_label_that_is_no_class_does_not_count_in_the_loss() -> None:
    logits = torch.randn(4, 3)
    expected = nn.functional.cross_entropy(logits[:2], torch.tensor([2, 0]))
    assert batches.cross_entropy(logits, torch.tensor([2, 0, 3, -1])) == pytest.approx(expected)


class Pixelwise(nn.Module):
    """A dense layer on the channels of [B, H, W, C], as ConvNeXt and Swin have it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.drop, self.act = nn.Linear(3, 6), nn.Dropout(0.1), nn.ReLU()
        with torch.no_grad():
            self.fc1.weight.zero_()
            self.fc1.bias[:] = torch.tensor([-1.0] * 4 + [1.0] * 2)  # four units of six are dead

    def forward(self, images: torch.Tensor) -> Any:
        return self.act(self.fc1(images))


@pytest.mark.parametrize("shape", [(WINDOW, 3), (WINDOW, 5, 3), (WINDOW, 4, 5, 3)])
def test_units_of_a_dense_layer_are_on_its_last_axis(shape: tuple[int, ...]) -> None:
    module = Pixelwise()
    watched = Activations(module, {})
    watched.begin(first=False)
    module(torch.rand(shape))
    watched.stop()
    (share,) = watched.ready().values()
    assert share.shape == (6,)
    assert inactive(share)[0].item() == pytest.approx(4 / 6)


def test_a_batch_that_was_skipped_leaves_no_hooks_behind() -> None:
    network = deep_net(nn.ReLU, 3)
    watched = Activations(network, {})
    for _ in range(3):
        watched.begin(first=False)
    watched.stop()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())
    watched.begin(first=False)
    network(torch.rand(WINDOW, 1, 8, 8))
    assert len(watched.ready()) == 2


@pytest.mark.parametrize("classes", [10, 60])
def test_of_the_confusions_those_are_kept_that_either_way_of_counting_asks_for(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randint(0, 3, (classes, classes), generator=generator)
    matrix[0] = 500  # a class that is taken for every other
    matrix[1, 2], matrix[:, 2] = (
        400,
        torch.where(torch.arange(classes) == 1, 400, 0),
    )  # nobody else is taken for 2
    matrix[1, 3:] = 500
    kept = {(label, predicted) for label, predicted, _ in batches.counts(matrix)["confused"]}
    off = matrix - torch.diag(matrix.diagonal())
    for axis in (0, 1):
        share = (off / matrix.sum(axis, keepdim=True).clamp_min(1)).flatten()
        largest = share.argsort(descending=True)[: min(100, int((off > 0).sum()))]
        assert {divmod(place, classes) for place in largest.tolist()} <= kept
    assert len(kept) == min(int((off > 0).sum()), 1000)
    assert batches.counts(torch.eye(3, dtype=torch.int64))["confused"] == []
