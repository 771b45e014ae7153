"""The best value so far, exactly as it was logged."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from sweepmaker.callbacks import Objective
from sweepmaker.config.errors import ConfigError
from sweepmaker.run.csv_logger import MetricsCSV
from tests.callbacks.trainers import Told, fit, loader

NAN, INF = math.nan, math.inf
pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


@pytest.mark.parametrize(
    ("mode", "values", "best", "epoch"),
    [
        ("max", [0.25, 0.75, 0.5], 0.75, 1),
        ("min", [0.25, 0.125, 0.5], 0.125, 1),
        ("max", [0.5, 0.5, 0.5], 0.5, 0),  # the first of equals
        ("min", [0.5, 0.5], 0.5, 0),
        ("max", [NAN, 0.25, NAN], 0.25, 1),
        ("min", [NAN, -INF, 3.0], 3.0, 2),
        ("max", [INF, -1.0], -1.0, 1),
        ("max", [NAN, NAN], None, None),
        ("max", [-5.0], -5.0, 0),
    ],
)
def test_the_best_finite_value_and_its_epoch(
    mode: str, values: list[float], best: Any, epoch: Any, tmp_path: Path
) -> None:
    objective = Objective("valid/x", mode)
    trainer = fit(Told(values), [objective], tmp_path)
    assert (objective.best, objective.epoch) == (best, epoch)
    shown = trainer.callback_metrics.get("valid/x_best")
    assert (None if shown is None else float(shown)) == best


def test_a_value_is_no_more_exact_than_it_was_logged(tmp_path: Path) -> None:
    objective = Objective("valid/x", "max")
    fit(Told([0.1]), [objective], tmp_path)
    assert objective.best == float(torch.tensor(0.1))  # float32, as logged


@pytest.mark.parametrize("name", ["valid/x", "train/x"])
def test_the_best_is_logged_beside_the_value(name: str, tmp_path: Path) -> None:
    options = {"limit_val_batches": 0} if name == "train/x" else {}
    logger = MetricsCSV(tmp_path / "metrics.csv")
    fit(Told([0.25, 0.75, 0.5], name), [Objective(name, "max")], tmp_path, logger=logger, **options)
    rows = [(row[name], row[f"{name}_best"]) for row in logger._rows]
    assert rows == [("0.25", "0.25"), ("0.75", "0.75"), ("0.5", "0.75")]


def test_a_metric_that_nobody_logs_is_answered_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        fit(Told([1.0]), [Objective("valid/y", "max")], tmp_path)
    assert error.value.key == "objective.name"
    assert error.value.allowed == "valid/other, valid/x"
    assert error.value.exit_code == 2


def test_sanity_checks_and_tests_do_not_count(tmp_path: Path) -> None:
    objective = Objective("valid/x", "max")
    module = Told([0.5])
    trainer = fit(module, [objective], tmp_path, num_sanity_val_steps=1)
    module.values.append(0.75)
    trainer.validate(module, loader(), verbose=False)
    trainer.test(module, loader(), verbose=False)
    assert objective.best == 0.5


def test_its_state_goes_on(tmp_path: Path) -> None:
    first, second = Objective("valid/x", "max"), Objective("valid/x", "max")
    fit(Told([0.25, 0.5]), [first], tmp_path)
    second.load_state_dict(first.state_dict())
    fit(Told([0.375]), [second], tmp_path)
    assert (second.best, second.epoch) == (0.5, 1)
