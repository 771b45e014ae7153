"""Rules on streams made by hand; the vectors with AWS's name are those of its own tests of 2019."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweepmaker.debugger.observations import End, Images, Labels, Names, Observation, Stall
from sweepmaker.debugger.rules import BUILT_IN, Rule
from tests.debugger.streams import NAMES, NAN, evaluation, fired_at, found, step


def test_rules_need_no_torch() -> None:
    program = (
        "import sys, sweepmaker.debugger.offline; print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def losses(values: dict[int, float]) -> list[Observation]:
    return [step(number, losses=[value]) for number, value in values.items()]


def rule(name: str, **parameters: Any) -> Rule:
    return BUILT_IN[name](**parameters)


def test_loss_not_decreasing_by_aws_vector() -> None:
    stream = losses({0: 0.30, 4: 0.33, 8: 0.31, 12: 0.30, 16: 0.28})
    assert fired_at(rule("LossNotDecreasing"), stream) == [12]


def test_loss_not_decreasing_compares_with_the_newest_that_is_old_enough() -> None:
    """As AWS's page has it: saved every 3 steps, num_steps 10, at 21 it compares with 9, and next at 33."""
    values = {number: 1 / (1 + number) for number in range(0, 40, 3)}
    falling = fired_at(rule("LossNotDecreasing"), losses(values))
    assert falling == []
    values[24] = values[12] * 1.06  # up by more than 5 % from the step that counts
    assert fired_at(rule("LossNotDecreasing"), losses(values)) == [24]
    values[24] = values[12] * 1.04
    assert fired_at(rule("LossNotDecreasing"), losses(values)) == []


def test_a_loss_that_has_fallen_may_level_off() -> None:
    stream = [step(number, losses=[max(2.3 - number / 100, 0.5)] * 25) for number in range(0, 1000, 25)]
    sane = {"num_steps": 100, "smooth": True, "increase_threshold_percent": 20.0}
    assert fired_at(rule("LossNotDecreasing", **sane), stream) != []
    assert fired_at(rule("LossNotDecreasing", **sane, settled_percent=10.0), stream) == []
    flat = [step(number, losses=[2.3] * 25) for number in range(0, 500, 25)]
    assert fired_at(rule("LossNotDecreasing", **sane, settled_percent=10.0), flat) == [200, 300, 400]


def test_unchanged_by_aws_vector() -> None:
    unchanged = rule("UnchangedTensor", collection_names=["losses"])
    assert fired_at(unchanged, losses({0: 0.5, 1: 0.5, 2: 0.5})) == [2]
    assert fired_at(rule("UnchangedTensor", collection_names=["losses"]), losses({5: 0.5})) == []


@pytest.mark.parametrize(
    ("columns", "settings", "fires"),
    [
        ({"grad_mean": [1.0, 1.0, 9e-8]}, {}, ["b"]),
        ({"grad_mean": [1.0, 1.0, 2e-7]}, {}, []),
        ({"grad_mean": [1.0, 1.0, NAN]}, {}, []),  # it has no gradient
        ({"grad_mean": [9e-8, 1.0, 1.0]}, {"patience": 2}, []),
        ({"grad_mean": [2e-8, 2e-8, 1e-8]}, {"relative": 1e-4}, []),  # all of it is small: it has learned
        ({"grad_mean": [2e-3, 2e-3, 1e-8]}, {"relative": 1e-4}, ["b"]),
        ({"grad_mean": [0.0, 0.0, 0.0]}, {"relative": 1e-4}, ["a"]),
        ({"grad_mean": [1.0, 0.0, 1.0]}, {"matrices_only": True}, []),
    ],
)
def test_vanishing_gradient(columns: dict[str, Any], settings: dict[str, Any], fires: list[str]) -> None:
    findings = found(rule("VanishingGradient", **settings), [step(0, **columns)])
    assert [finding.where for finding in findings] == fires


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
def test_exploding_loss_and_gradient(value: float) -> None:
    stream = [
        step(0, losses=[1.0, value, 1.0], grad_mean=[1, 1, 1], grad_nonzero=[1, 1, 1]),
        step(1, losses=[1.0], grad_mean=[1, 1, value], grad_nonzero=[1, 1, 1]),
        step(2, losses=[1.0], grad_mean=[1, 1, NAN], grad_nonzero=[1, 1, NAN]),  # it has no gradient
    ]
    assert [finding.where for finding in found(rule("ExplodingTensor"), stream)] == ["loss", "b (gradients)"]
    only = found(rule("ExplodingTensor", only_nan=True), stream)
    assert len(only) == (2 if value != value else 0)


def test_what_a_gradient_scaler_skips_has_not_exploded() -> None:
    broken = {"grad_mean": [1, 1, float("inf")], "grad_nonzero": [1, 1, 1]}
    stream = [step(number, losses=[1.0], skipped=True, **broken) for number in range(12)]
    assert fired_at(rule("ExplodingTensor"), stream) == [9, 10, 11]
    mixed = [step(number, losses=[1.0], skipped=number % 9 != 8, **broken) for number in range(9)]
    assert fired_at(rule("ExplodingTensor"), mixed) == [8]


def test_update_ratio() -> None:
    healthy = {"grad_mean": [1, 1, 1], "weight_mean": [1, 0, 1], "update_mean": [1e-3, 1, 1e-3]}
    assert fired_at(rule("WeightUpdateRatio"), [step(0, **healthy)]) == []  # a bias that begins at 0
    large = healthy | {"update_mean": [1e-3, 1, 11.0]}
    assert [found.where for found in found(rule("WeightUpdateRatio"), [step(0, **large)])] == ["b"]
    small = healthy | {"update_mean": [1e-9, 1, 1e-3]}
    assert [found.where for found in found(rule("WeightUpdateRatio"), [step(0, **small)])] == ["a"]
    ending = [step(0, **healthy), step(1, lr=1e-9, **small)]  # where a schedule ends near 0
    assert fired_at(rule("WeightUpdateRatio"), ending) == []


def test_a_weight_that_the_optimizer_does_not_have_needs_no_other_learning_rate() -> None:
    moved = {"grad_mean": [1, 1, 1], "weight_mean": [1, 1, 1], "update_mean": [0.0, 1e-3, 1e-3]}
    assert found(rule("WeightUpdateRatio"), [step(0, **moved)]) == []
    still = moved | {"update_mean": [0.0, 0.0, 0.0]}  # a learning rate below what float32 tells apart
    assert [found.override for found in found(rule("WeightUpdateRatio"), [step(0, **still)])] == ["lr=1"]


def test_a_head_of_zeros_has_no_poor_variance() -> None:
    zeros = {"weight_var": [0.0, 0.0, 1.0], "weight_mean": [0.0, 0.0, 1.0]}
    assert found(rule("TensorVariance", min_threshold=1e-10), [step(0, **zeros)]) == []


def test_losses_that_are_equal_by_chance_have_changed_between() -> None:
    same = rule("UnchangedTensor", collection_names=["losses"])
    assert fired_at(same, [step(number, losses=[0.51, 0.49, 0.5]) for number in range(5)]) == []
    assert fired_at(same, [step(number, losses=[0.5] * 3) for number in range(3)]) == [2]


def test_a_trained_network_may_go_on_where_it_is() -> None:
    sane = {"num_steps": 100, "smooth": True, "settled_percent": 10.0}
    flat = [step(number, losses=[0.05] * 25) for number in range(0, 500, 25)]
    assert fired_at(rule("LossNotDecreasing", **sane), flat) == []


def test_losses_that_are_not_finite_are_not_overtraining() -> None:
    assert found(rule("Overtraining"), [evaluation(NAN, NAN, number) for number in range(20)]) == []


def test_all_zero_and_variance() -> None:
    zero = {"grad_nonzero": [1, 0, 0], "weight_mean": [1, 0, 1]}
    assert [found.where for found in found(rule("AllZero"), [step(0, **zero)])] == ["b"]
    assert found(rule("AllZero", patience=2), [step(0, **zero)]) == []
    spread = {"weight_var": [200.0, 1e-12, 1.0], "weight_mean": [1.0, 1.0, 1.0]}
    assert found(rule("TensorVariance"), [step(0, **spread)]) == []
    out = found(rule("TensorVariance", max_threshold=10.0, min_threshold=1e-5), [step(0, **spread)])
    assert [(finding.where, finding.value) for finding in out] == [("a", 200.0)]


def test_weights_that_do_not_change_must_have_had_the_chance() -> None:
    still = [step(number, losses=[1 / (number + 1)], update_max=[0.0, 0.0, 1.0]) for number in range(3)]
    assert [finding.where for finding in found(rule("UnchangedTensor"), still)] == ["a"]
    warm = [replace(one, lr=0.0) for one in still]
    assert found(rule("UnchangedTensor"), warm) == []


def test_overfit_is_a_gap_and_with_rise_also_worse_than_its_best() -> None:
    gap = [step(0, losses=[2.3]), *(evaluation(0.12, 0.1, number) for number in range(5))]
    assert fired_at(rule("Overfit"), gap) == [0, 1, 2, 3, 4]
    sane = {"patience": 3, "rise": 0.2}
    assert found(rule("Overfit", **sane), gap) == []
    rising = [
        step(0, losses=[2.3]),
        *(evaluation(loss, 0.1, n) for n, loss in enumerate([1, 1.1, 1.3, 1.4, 1.6])),
    ]
    assert fired_at(rule("Overfit", **sane), rising) == [4]
    jumps = [
        step(0, losses=[2.3]),
        *(evaluation(loss, 1.5, n) for n, loss in enumerate([2.3, 20, 8, 9, 1.4])),
    ]
    assert (
        found(rule("Overfit", **sane), jumps) == []
    )  # statistics of BatchNorm that lag: nothing is learned yet


@pytest.mark.parametrize(
    ("shares", "fires"), [([15, 34, 27, 55, 70, 86], []), ([15, 34, 34, 35, 35, 34], [5])]
)
def test_overfit_is_not_where_more_images_are_recognised(shares: list[int], fires: list[int]) -> None:
    # as B2 from scratch on ten classes began with one seed of five
    losses, train = [2.3, 4.7, 2.7, 17.8, 2.8, 5.6], [3.6, 3.3, 3.2, 2.6, 1.8, 1.5]
    matrices = [[[share, 100 - share], [0, 0]] for share in shares]
    stream = [
        step(0, losses=[2.9]),
        *(evaluation(*both, n, matrices[n]) for n, both in enumerate(zip(losses, train, strict=True))),
    ]
    assert fired_at(rule("Overfit", patience=3, rise=0.2), stream) == fires


def test_overtraining_counts_each_loss_by_itself() -> None:
    stream = [evaluation(1.0, 1.0 - number, number) for number in range(12)]
    assert fired_at(rule("Overtraining"), stream) == [10, 11]
    finding = found(rule("Overtraining"), stream)[0]
    assert (finding.where, finding.override) == ("valid/loss", None), "one epoch would not make it a model"
    assert "never got better" in finding.advice
    finding = found(rule("Overtraining"), [evaluation(2.0, 1.0, 0), *stream[1:]])[0]
    assert finding.override == "epochs=2" and "2 of 12 epochs were enough" in finding.advice
    training = [evaluation(1.0 - number, 1.0 + number % 2 * 0.009, number) for number in range(6)]
    assert [finding.where for finding in found(rule("Overtraining"), training)] == ["train/loss"]


def test_dead_and_saturated_units() -> None:
    half = {0: [0.0, 0.0, 0.5, 0.5, 0.6, 0.6]}
    more = {0: [0.0, 0.0, 0.51, 0.6, 0.6, 0.6]}
    assert found(rule("DeadRelu"), [step(0, inactive=half)]) == []
    assert [finding.where for finding in found(rule("DeadRelu"), [step(0, inactive=more)])] == ["act"]
    assert found(rule("SaturatedActivation"), [step(0, inactive=more)]) == []
    sigmoid = replace(NAMES, types=["sigmoid"])
    assert fired_at(rule("SaturatedActivation"), [step(3, inactive=more, names=sigmoid)]) == [3]


def test_poor_initialisation_is_a_matter_of_the_first_steps_and_of_new_weights() -> None:
    names = Names(["a.weight"], [[2, 2]], ["x", "y"], ["relu", "relu"])
    poor = [step(number, names=names, input_var=[1.0, 50.0]) for number in range(12)]
    only = {"distribution_range": None, "patience": None}
    assert fired_at(rule("PoorWeightInitialization", **only), poor) == list(range(10))
    loaded = [replace(one, names=replace(names, fresh=False)) for one in poor]
    assert found(rule("PoorWeightInitialization", **only), loaded) == []
    narrow = [step(0, names=names, grad_p5=[-1e-4], grad_p95=[1e-4], losses=[1.0])]
    assert [found.where for found in found(rule("PoorWeightInitialization"), narrow)] == ["a.weight"]
    stuck = [step(number, names=names, losses=[1.0]) for number in range(6)]
    assert fired_at(rule("PoorWeightInitialization"), stuck) == [5]


def test_class_imbalance_by_aws_vector() -> None:
    assert [
        found.value for found in found(rule("ClassImbalance"), [Labels(0, 0, [990, 10], whole=False)])
    ] == [99]
    assert found(rule("ClassImbalance"), [Labels(0, 0, [100, 10, 0], whole=True)]) == []
    mistaken = evaluation(1.0, 1.0, 1, [[9, 0], [8, 2]])
    assert [finding.where for finding in found(rule("ClassImbalance"), [mistaken])] == ["class 1"]
    assert found(rule("ClassImbalance", at_end=True), [mistaken]) == []
    assert fired_at(rule("ClassImbalance", at_end=True), [mistaken, End(1, 0)]) == [1]


def test_confusion_by_aws_vectors() -> None:
    perfect = np.eye(10, dtype=int)
    assert found(rule("Confusion"), [evaluation(1.0, 1.0, 0, perfect)]) == []
    wrong = perfect.copy()
    wrong[4, 4], wrong[4, 7] = 4, 1  # one of five
    assert "class 4" in [
        finding.where for finding in found(rule("Confusion"), [evaluation(1.0, 1.0, 0, wrong)])
    ]
    off = found(rule("Confusion", min_diag=0.0, max_off_diag=0.01), [evaluation(1.0, 1.0, 0, wrong)])
    assert [finding.where for finding in off] == ["class 4 as 7"]
    column = rule("Confusion", min_diag=0.0, max_off_diag=0.3, normalise="pred")
    assert [finding.value for finding in found(column, [evaluation(1.0, 1.0, 0, wrong)])] == [0.5]


@pytest.mark.parametrize(
    ("mean", "std", "low", "fires"),
    [
        ([0.0, 0.1], [1.0, 1.0], [-2.0, -2.0], False),
        ([0.0, 0.3], [1.0, 1.0], [-2.0, -2.0], True),
        ([0.1, 0.1], [0.1, 1.0], [-2.0, -2.0], True),
        ([0.1, 0.1], [0.3, 0.3], [0.0, 0.0], True),
        ([NAN, 0.1], [1.0, 1.0], [-2.0, -2.0], True),
    ],
)
def test_input_images(mean: list[float], std: list[float], low: list[float], fires: bool) -> None:
    seen = [Images(1, 0, 500, mean, std, low, [2.0, 2.0])]
    assert bool(found(rule("CheckInputImages", range=True), seen)) is fires


def test_stalled() -> None:
    assert fired_at(rule("StalledTraining"), [Stall(7, 0, 1801.0)]) == [7]
    assert found(rule("StalledTraining"), [Stall(7, 0, 1799.0)]) == []


def test_losses_of_several_optimizers_need_not_fall() -> None:
    several = replace(NAMES, optimizers=2)
    stream = [step(number, losses=[1.0 + number], names=several) for number in range(0, 100, 10)]
    assert found(rule("LossNotDecreasing"), stream) == []
    assert found(rule("LossNotDecreasing"), [replace(one, names=NAMES) for one in stream])  # type: ignore[type-var]


def test_a_sample_that_says_nothing_of_a_layer_leaves_its_count() -> None:
    """Of two optimizers one did not step: neither a sign of life nor of the opposite."""
    stream = [step(number, update_max=[0.0, 1.0, NAN if number % 2 else 0.0]) for number in range(6)]
    findings = found(rule("UnchangedTensor", collection_names=["weights"]), stream)
    assert [(one.step, one.meaning[11:13]) for one in findings] == [
        (2, "1 "),
        (3, "1 "),
        (4, "2 "),
        (5, "1 "),
    ]


def test_a_validation_loss_explodes_too() -> None:
    stream = [step(0, losses=[1.0], lr=0.1), evaluation(float("inf"), 1.0)]
    (finding,) = found(rule("ExplodingTensor"), stream)
    assert (finding.where, finding.value, finding.override) == ("valid/loss", float("inf"), "lr=0.01")
    assert found(rule("ExplodingTensor", only_nan=True), stream) == []
    assert found(rule("ExplodingTensor", collection_names=["weights"]), stream) == []
