"""Metric lines on stdout, one line an epoch on stderr."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar

from sweepmaker.callbacks import EpochLines, MetricLines, Objective
from sweepmaker.callbacks.progress import progress_callback
from sweepmaker.metrics import line
from tests.callbacks.trainers import Told, fit, loader


def test_one_line_a_metric_and_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = Told([0.25, 0.75, 0.5])
    trainer = fit(module, [Objective("valid/x", "max"), MetricLines()], tmp_path)
    out = capsys.readouterr().out
    assert line.parse(out, "valid/x") == [0.25, 0.75, 0.5]
    assert line.parse(out, "valid/x_best") == [0.25, 0.75, 0.75]
    first = [text for text in out.splitlines() if "valid/x=" in text]
    assert first == [f"[metric] valid/x={v} epoch={e} step={2 * e + 2};" for e, v in enumerate(module.values)]
    assert all(text.startswith("[metric] ") for text in out.splitlines())
    trainer.test(module, loader(), verbose=False)
    assert line.parse(capsys.readouterr().out, "test/x") == [0.25]


def test_a_test_prints_only_what_was_tested(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = Told([0.5])
    trainer = fit(module, [MetricLines()], tmp_path)
    capsys.readouterr()
    trainer.test(module, loader(), verbose=False)
    assert [text.partition("=")[0] for text in capsys.readouterr().out.splitlines()] == ["[metric] test/x"]


class OtherNames(Told):
    """Its test metrics are named as people name them."""

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("test_acc", 0.25)
        self.log("Accuracy/of test", 0.5)


def test_metrics_of_a_test_have_any_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    module = OtherNames([0.5])
    trainer = fit(module, [Objective("valid/x", "max"), MetricLines()], tmp_path)
    capsys.readouterr()
    with caplog.at_level(logging.WARNING):
        trainer.test(module, loader(), verbose=False)
    assert capsys.readouterr().out == "[metric] test_acc=0.25 epoch=1 step=2;\n"
    assert "'Accuracy/of test'" in caplog.text and "letters, digits" in caplog.text


@pytest.mark.parametrize("every", [1, 2, 3])
def test_a_validation_is_printed_in_its_epoch_only(
    every: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = Told([0.5, 0.25, 0.75, 0.75, 0.75, 0.75])  # equal values are as new as others
    module.also_in_training = True
    callbacks = [Objective("valid/x", "max"), MetricLines(), EpochLines()]
    fit(module, callbacks, tmp_path, check_val_every_n_epoch=every, num_sanity_val_steps=1)
    out, err = capsys.readouterr()
    validated = list(range(every - 1, 6, every))
    for name in ("valid/x", "valid/x_best", "valid/other"):
        assert epochs_of(out, name) == validated
    assert epochs_of(out, "train/epoch") == list(range(6))
    shown = [line for line in err.splitlines() if line.startswith("epoch ")]
    assert [number for number, line in enumerate(shown) if "valid/x " in line] == validated


def epochs_of(out: str, name: str) -> list[int]:
    return [int(text.split(" epoch=")[1].split()[0]) for text in out.splitlines() if f" {name}=" in text]


@pytest.mark.parametrize("validated", [True, False])
def test_a_resumed_epoch_knows_whether_it_was_validated(
    validated: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = MetricLines()
    trainer = stand_in(0, a=1.0)
    before.on_validation_start(trainer, None)  # type: ignore[arg-type]
    trainer.callback_metrics["valid/x"] = torch.tensor(0.5)
    before.on_validation_end(trainer, None)  # type: ignore[arg-type]
    if not validated:
        before.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
        capsys.readouterr()
    after = MetricLines()
    after.load_state_dict(before.state_dict())
    after.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert ("valid/x" in capsys.readouterr().out) == validated


class Counted(io.StringIO):
    flushed = ""

    def flush(self) -> None:
        self.flushed = self.getvalue()


def stand_in(rank: int, **metrics: float) -> Any:
    return SimpleNamespace(
        is_global_zero=rank == 0, sanity_checking=False, state=SimpleNamespace(fn="fit"),
        current_epoch=4, global_step=9, max_epochs=5,
        callback_metrics={name: torch.tensor(value, dtype=torch.float64) for name, value in metrics.items()},
    )  # fmt: skip


@pytest.mark.parametrize(("rank", "expected"), [(0, "[metric] a=1e-05 epoch=4 step=9;\n"), (1, "")])
def test_rank_zero_alone_prints_and_at_once(
    rank: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Counted()
    monkeypatch.setattr(sys, "stdout", out)
    MetricLines().on_train_epoch_end(stand_in(rank, a=1e-05), None)  # type: ignore[arg-type]
    assert out.flushed == out.getvalue() == expected


def test_names_that_make_no_line_are_left_out_and_named_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    trainer = stand_in(0, **{"a b": 1.0, "b=c": 1.0, "ok": float("nan"), "": 1.0})
    lines = MetricLines()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            lines.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "[metric] ok=nan epoch=4 step=9;\n" * 3
    assert [record.args[0] for record in caplog.records] == ["a b", "b=c", ""]  # type: ignore[index]


def test_epochs_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(Told([0.25, 0.5]), [EpochLines()], tmp_path)
    out, err = capsys.readouterr()
    lines = [text for text in err.splitlines() if text.startswith("epoch ")]
    assert out == ""
    assert [text.split()[1] for text in lines] == ["1/2", "2/2"]
    assert lines[1].endswith("valid/other 2  valid/x 0.5")


def test_a_bar_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress_callback(), EpochLines)
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(isatty=lambda: True, write=lambda _: None))
    assert isinstance(progress_callback(), RichProgressBar)
