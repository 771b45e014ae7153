"""Batches that do not fit: what torch says becomes one message with the keys to change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from sweepmaker.run import oversize
from tests.integration.runs import TINY, train

CFG = OmegaConf.create(
    {"batch_size": 64, "image_size": 32, "trainer": {"accumulate_grad_batches": 2, "precision": "32-true"}}
)


def test_what_the_cpu_says_of_too_much_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)  # more than an address holds
    said = oversize.explained(caught.value, CFG)
    assert said is not None and said.key == "batch_size"
    assert said.fix is not None
    assert "batch_size=32 trainer.accumulate_grad_batches=4" in said.fix and "bf16-mixed" in said.fix


def test_what_cuda_says_is_kept_without_advice_on_its_allocator() -> None:
    error = torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.1 GiB of which "
        "1.2 GiB is free. Including non-PyTorch memory, this process has 77 GiB memory in use. Of the "
        "allocated memory 76 GiB is allocated by PyTorch."
    )
    said = oversize.explained(error, OmegaConf.create({"batch_size": 1}))
    assert said is not None
    assert said.message.endswith("of which 1.2 GiB is free.")
    assert said.fix == "a smaller image_size or network"  # one image cannot be halved


def test_another_error_stays_what_it_is() -> None:
    assert oversize.explained(RuntimeError("size mismatch"), CFG) is None
    assert oversize.explained(ValueError("Expected more"), CFG) is None


def test_one_image_that_batch_norms_cannot_take(tmp_path: Path) -> None:
    ended = train(*TINY, "batch_size=1", f"hydra.run.dir={tmp_path}/run", cwd=tmp_path)
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "error: batch_size: this network's batch norms need more than one value a channel" in ended.err
