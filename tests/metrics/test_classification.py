"""EpochScores against torchmetrics' own classes, and its states across inference mode."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from sweepmaker.metrics import classification
from sweepmaker.metrics.classification import EpochScores


def _batches(classes: int, sizes: list[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, classes, generator=random),
            torch.randint(0, classes, (size,), generator=random),
        )
        for size in sizes
    ]


@settings(max_examples=40, deadline=None)
@given(
    classes=st.integers(2, 30),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_equals_torchmetrics_classes(classes: int, sizes: list[int], seed: int) -> None:
    scores = EpochScores(classes)
    top1 = MulticlassAccuracy(classes, average="micro")
    top5 = MulticlassAccuracy(classes, average="micro", top_k=min(5, classes))
    f1 = MulticlassF1Score(classes, average="macro")
    summed = 0.0
    for logits, labels in _batches(classes, sizes, seed):
        loss = torch.nn.functional.cross_entropy(logits, labels)
        summed += float(loss) * len(labels)
        scores.add(logits, labels, loss)
        for metric in (top1, top5, f1):
            metric.update(logits, labels)
    found = scores.compute()
    torch.testing.assert_close(found["top1"], top1.compute())
    torch.testing.assert_close(found["top5"], top5.compute())
    torch.testing.assert_close(found["f1"], f1.compute())
    torch.testing.assert_close(float(found["loss"]), summed / sum(sizes), rtol=1e-5, atol=1e-6)


def test_unequal_batches_count_by_image() -> None:
    scores = EpochScores(3)
    right, wrong = torch.tensor([[9.0, 0, 0]]), torch.tensor([[0, 9.0, 0]])
    scores.add(right.repeat(3, 1), torch.zeros(3, dtype=torch.int64), torch.tensor(1.0))
    scores.add(wrong, torch.zeros(1, dtype=torch.int64), torch.tensor(5.0))
    found = scores.compute()
    assert float(found["top1"]) == 0.75
    assert float(found["loss"]) == 2.0


def test_reset_forgets_and_nothing_seen_is_nan() -> None:
    scores = EpochScores(4)
    for logits, labels in _batches(4, [8], 0):
        scores.add(logits, labels, torch.tensor(1.0))
    scores.reset()
    scores.add(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.tensor(0.0))
    assert all(value.isnan() for value in scores.compute().values())


def test_states_from_inference_mode_can_be_updated_outside_of_it() -> None:
    scores = EpochScores(4)
    (logits, labels), = _batches(4, [8], 0)  # fmt: skip
    with torch.inference_mode():
        scores.add(logits, labels, torch.tensor(1.0))
        scores.reset()
        scores.add(logits, labels, torch.tensor(1.0))
    scores.add(logits, labels, torch.tensor(1.0))
    assert scores.update_called and int(scores.seen) == 16


def test_keeps_no_graph() -> None:
    scores = EpochScores(4)
    logits = torch.randn(8, 4, requires_grad=True)
    scores.add(logits, torch.zeros(8, dtype=torch.int64), logits.sum())
    assert scores.update_called and not scores.loss_sum.requires_grad


def test_large_batches_do_not_wait_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 21,000 classes 64 batches would take more memory than the network."""
    monkeypatch.setattr(classification, "_ELEMENTS", 100)
    scores, whole = EpochScores(10), EpochScores(10)
    held = []
    for logits, labels in _batches(10, [4] * 20, 0):
        scores.add(logits, labels, logits.mean())
        held.append(sum(each.numel() for each, _, _ in scores._waiting))
        whole.update(logits, labels, (logits.mean(), 4))
    assert max(held) == 80 and held.count(0) == 6
    expected, found = whole.compute(), scores.compute()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_states_carried_over_continue_the_sums() -> None:
    """What exact resume does: the states of every metric go into a new one."""
    batches = _batches(6, [5, 7, 3], 1)
    whole, first, second = EpochScores(6), EpochScores(6), EpochScores(6)
    for logits, labels in batches:
        whole.add(logits, labels, logits.mean())
    for logits, labels in batches[:2]:
        first.add(logits, labels, logits.mean())
    for name, value in first.metric_state.items():
        setattr(second, name, value)
    for logits, labels in batches[2:]:
        second.add(logits, labels, logits.mean())
    expected, found = whole.compute(), second.compute()
    assert all(torch.equal(expected[name], found[name]) for name in expected)


@given(st.lists(st.booleans(), min_size=1, max_size=150), st.integers(0, 2**31))
def test_looking_in_between_changes_nothing(looks: list[bool], seed: int) -> None:
    """A checkpoint looks at the sums in the middle of an epoch; no bit may depend on when."""
    batches = _batches(3, [2] * len(looks), seed)
    left_alone, looked_at = EpochScores(3), EpochScores(3)
    for (logits, labels), look in zip(batches, looks, strict=True):
        loss = torch.nn.functional.cross_entropy(logits, labels)
        for scores in (left_alone, looked_at):
            scores.add(logits, labels, loss)
        if look:
            assert int(looked_at.metric_state["seen"]) % 2 == 0
    expected, found = left_alone.compute(), looked_at.compute()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    left_alone.add(*batches[0], torch.tensor(1.0))
    assert int(left_alone.metric_state["seen"]) == 2 * len(looks) + 2
    assert left_alone.compute()["loss"] != expected["loss"] or len(looks) == 0  # no stale result is given
