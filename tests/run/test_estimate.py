"""What an epoch would take in other ways: said where it is wanted, and without a trace in the run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from sweepmaker.data import ImageDataModule
from sweepmaker.models import Classifier
from sweepmaker.run.estimate import EstimateEpochs
from tests.models.nets import adamw

pytestmark = pytest.mark.filterwarnings("ignore::lightning.pytorch.utilities.warnings.PossibleUserWarning")


def fit(wanted: bool | None, finetune: str = "full", **settings: Any) -> tuple[list[str], Classifier]:
    torch.manual_seed(0)
    said: list[str] = []
    model = Classifier(
        name="mobilenet_v3_small",
        num_classes=10,
        weights="none",
        finetune=finetune,
        optimizer=adamw(),
        **settings,
    )
    data = ImageDataModule(
        source="digits", image_size=32, batch_size=8, seed=0, num_workers=0,
        augment={"crop_scale": [0.5, 1.0]}, limit={"train": 48, "valid": 8, "test": 8},
    )  # fmt: skip
    Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_epochs=2, callbacks=[EstimateEpochs(wanted, said.append)],
    ).fit(model, datamodule=data)  # fmt: skip
    return said, model


@pytest.mark.parametrize("finetune", ["full", "blocks", "head", "gradual"])
def test_every_other_way_has_a_line(finetune: str) -> None:
    said, _ = fit(True, finetune)
    assert said[0] == "an epoch of 6 steps, estimated from a few batches on this machine:"
    names = [line.split("  ")[1] for line in said[1:]]
    others = [f"model.finetune={name}" for name in ("full", "blocks model.blocks=3", "head")]
    expected = [
        name for name in others if name != f"model.finetune={finetune}" and f"={finetune} " not in name
    ]
    told = "gradual, the head alone" if finetune == "gradual" else finetune
    assert names == [f"as it is (finetune={told})", *expected, "model.finetune=head on cached features"]
    seconds = [re.search(r" [0-9]+\.[0-9] s", line) for line in said[1:]]
    assert all(seconds)
    assert said[-1].endswith("with data.views=8")  # crops differ from epoch to epoch


def test_a_network_without_so_many_blocks_lacks_that_line() -> None:
    said, _ = fit(True, blocks=99)
    assert not any("blocks" in line for line in said)


@pytest.mark.parametrize("wanted", [False, None])
def test_a_short_run_says_nothing_by_itself(wanted: bool | None) -> None:
    assert fit(wanted)[0] == []


def test_the_run_is_the_same_to_the_last_bit() -> None:
    (said, with_it), (nothing, without) = fit(True), fit(False)
    assert said and not nothing
    for name, value in without.state_dict().items():
        assert torch.equal(value, with_it.state_dict()[name]), name
