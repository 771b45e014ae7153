"""Measuring old weights on data that may be others than the run kept for its test is said loudly."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sweepmaker.run import evaluation


@pytest.mark.parametrize("key", ["root", "cache_uri", "split_seed"])
def test_what_decides_on_the_test_images_is_compared(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = {"data": {"source": "folder", "root": None, "cache_uri": None, "split_seed": None} | {key: "1"}}
    (tmp_path / ".hydra").mkdir()
    OmegaConf.save(OmegaConf.create(before), tmp_path / ".hydra" / "config.yaml")
    now = {**before, "ckpt_path": str(tmp_path)}
    with caplog.at_level(logging.WARNING):
        evaluation.warn_of_other_data(OmegaConf.create(now))
        assert caplog.text == ""
        evaluation.warn_of_other_data(OmegaConf.create(now | {"data": before["data"] | {key: "2"}}))
    assert f"data.{key} is 2 (the run: 1)" in caplog.text
