"""A table of command lines that run the real script, each with what it must leave behind."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from sweepmaker.metrics import line
from tests.images import class_tree
from tests.integration.runs import CHECKOUT, TINY, Ended, train


@dataclass
class Case:
    """One command line: ``{tmp}`` stands for the test's folder."""

    name: str
    command: str
    check: Callable[[Path, Ended], None] | None = None


def _record(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return loaded


def _choices_are_kept(folder: Path, ended: Ended) -> None:
    choices = _record(folder)["choices"]
    assert choices["device"]["value"] == "cpu"
    for name, choice in choices.items():
        assert choice["reason"], name
        assert f"{name} = " in ended.err


def _one_value_is_the_objective(folder: Path, ended: Ended) -> None:
    """run.json, the last metric line and the weights in model/ tell of the same epoch."""
    record = _record(folder)
    best = record["objective"]["value"]
    assert line.parse(ended.out, "valid/top1_best")[-1] == best
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    values = [float(row["valid/top1"]) for row in rows if row["valid/top1"]]
    assert max(values) == best
    kept = torch.load(next((folder / "checkpoints").glob("best-*.ckpt")), weights_only=True)
    assert kept["epoch"] == values.index(best)
    for name, value in load_file(folder / "model" / "model.safetensors").items():
        assert torch.equal(value, kept["state_dict"]["network." + name]), name


def _artifact_rebuilds(folder: Path, ended: Ended) -> None:
    from sweepmaker.models import build_network

    described = json.loads((folder / "model" / "model.json").read_text())
    network = build_network(described["architecture"])
    network.load_state_dict(load_file(folder / "model" / "model.safetensors"))
    assert len(described["classes"]) == 10
    assert described["transform"]["image_size"] == 32
    assert (folder / "model" / "code" / "sweepmaker" / "models").is_dir()


def _stopped_early(folder: Path, ended: Ended) -> None:
    assert _record(folder)["state"] == "stopped"


def _has_event_files(folder: Path, ended: Ended) -> None:
    assert list((folder / "tensorboard").glob("**/events.out.*"))


def _skipped_is_listed(folder: Path, ended: Ended) -> None:
    data = _record(folder)["data"]
    assert [Path(entry["file"]).name for entry in data["skipped"]] == ["broken.jpg"]
    assert data["classes"] == ["001.Großer Hund", "002.Wolf"]


CASES = [
    Case("defaults", "epochs=2", _one_value_is_the_objective),
    Case("reasons", "epochs=1", _choices_are_kept),
    Case("artifact", "epochs=1", _artifact_rebuilds),
    Case("fast", "debug=fast"),
    Case(
        "limit", "debug=limit trainer.max_epochs=1 trainer.limit_val_batches=2 trainer.limit_test_batches=2"
    ),
    Case("overfit", "debug=overfit trainer.max_epochs=2"),
    Case(
        "early",
        "epochs=20 lr=1e-9 callbacks=early_stopping callbacks.early_stopping.patience=1",
        _stopped_early,
    ),
    Case("tensorboard", "epochs=1 logger=tensorboard", _has_event_files),
    Case("workers", "epochs=1 data.num_workers=2"),
    Case("timm", "epochs=1 model.library=timm model.name=mobilenetv3_small_050"),
    Case("head", "epochs=1 model.finetune=head"),
    Case("sgd", "epochs=1 optimizer=sgd scheduler=cosine"),
    Case("own loss", "epochs=1 objective.name=valid/loss objective.mode=min"),
    Case(
        "folder",
        "epochs=1 data=folder data.root={tmp}/images data.on_bad_image=skip batch_size=4",
        _skipped_is_listed,
    ),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("with space") / "images"
    class_tree(root, ("001.Großer Hund", "002.Wolf"), images=6)
    (root / "train" / "002.Wolf" / "broken.jpg").write_text("this is no picture")
    return root


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_run(case: Case, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    command = case.command
    if "{tmp}" in command:
        (tmp_path / "images").symlink_to(request.getfixturevalue("images"))
    arguments = [word.replace("{tmp}", str(tmp_path)) for word in shlex.split(command)]
    limits = TINY if case.name != "folder" else TINY[:3]
    ended = train(*limits, *arguments, f"hydra.run.dir={tmp_path / 'run'}")
    assert ended.code == 0, ended.err
    assert "Warning" not in ended.err
    folder = tmp_path / "run"
    record = _record(folder)
    assert record["state"] in ("completed", "stopped")
    assert record["failure"] is None
    assert record["timing"]["fit_seconds"] > 0
    # stdout is for results: nothing but whole metric lines
    assert all(text.startswith("[metric] ") and text.endswith(";") for text in ended.out.splitlines())
    if case.check is not None:
        case.check(folder, ended)


@pytest.mark.slow
def test_weights_can_be_evaluated_later(tmp_path: Path) -> None:
    trained = train(*TINY, "epochs=1", f"hydra.run.dir={tmp_path / 'run'}")
    assert trained.code == 0, trained.err
    again = train(
        *TINY,
        "train=false",
        "test=true",
        f"ckpt_path={tmp_path / 'run'}",
        f"hydra.run.dir={tmp_path / 'eval'}",
    )
    assert again.code == 0, again.err
    assert line.parse(again.out, "test/top1") == line.parse(trained.out, "test/top1")
    assert "was trained on" not in again.err

    other = train(
        *TINY, "train=false", "seed=7", f"ckpt_path={tmp_path / 'run'}", f"hydra.run.dir={tmp_path / 'other'}"
    )
    assert other.code == 0, other.err
    assert "data.split_seed is 7" in other.err and "was trained on" in other.err


@pytest.mark.slow
def test_a_checkpoint_with_other_classes_is_refused(tmp_path: Path, images: Path) -> None:
    assert train(*TINY, "debug=fast", f"hydra.run.dir={tmp_path / 'run'}").code == 0
    ended = train(
        *TINY[:3], "train=false", f"ckpt_path={tmp_path / 'run'}", "data=folder", f'data.root="{images}"',
        "data.on_bad_image=skip", f"hydra.run.dir={tmp_path / 'eval'}",
    )  # fmt: skip
    assert ended.code == 2, ended.err
    assert "ckpt_path" in ended.err and "10 classes" in ended.err and "Traceback" not in ended.err


def test_stdout_of_help_is_quick_and_names_the_groups() -> None:
    ended = train("--help")
    assert ended.code == 0
    assert "experiment" in ended.out and "fashion_mnist" in ended.out


def test_the_checkout_stays_clean() -> None:
    assert not list((CHECKOUT / "src").glob("**/*.tmp"))
