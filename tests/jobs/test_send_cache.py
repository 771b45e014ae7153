"""A cache goes to S3 beside those of the same data only: a job gets all that is in the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from launchers.aws.clients import Clients
from launchers.jobs import data_actions
from sweepmaker.config.errors import ConfigError
from sweepmaker.data.cache.blob import Writer
from tests.jobs.aws import BUCKET, objects

URI = f"s3://{BUCKET}/caches/"


def cache(path: Path, fingerprint: str) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        writer.section("entries", np.arange(50_000))  # larger than what is read of it
        writer.finish({"kind": "pixels", "fingerprint": fingerprint})
    return path


@pytest.fixture
def cfg(where: dict[str, Any]) -> DictConfig:
    return OmegaConf.create({"where": where, "dry_run": False})


def send(cfg: DictConfig, file: Path, fingerprint: str) -> int:
    sent: int = data_actions._send_cache(cfg, URI, file, fingerprint)["sent"]
    return sent


def test_caches_of_the_same_data_lie_together(cfg: DictConfig, clients: Clients, tmp_path: Path) -> None:
    for name in ("pixels-a.cache", "pixels-b.cache"):
        assert send(cfg, cache(tmp_path / name, "same"), "same") == 1
        assert send(cfg, tmp_path / name, "same") == 0
    clients.s3.put_object(Bucket=BUCKET, Key="caches/pixels-below/x.cache", Body=b"not looked at by a job")
    assert send(cfg, tmp_path / "pixels-a.cache", "same") == 0
    assert {"caches/pixels-a.cache", "caches/pixels-b.cache"} <= set(objects(clients))


@pytest.mark.parametrize("there", ["other data", "empty", "no cache"])
def test_another_one_in_the_folder_is_named(
    cfg: DictConfig, clients: Clients, tmp_path: Path, there: str
) -> None:
    if there == "other data":
        send(cfg, cache(tmp_path / "pixels-old.cache", "before"), "before")
    else:
        content = b"" if there == "empty" else bytes(100)
        clients.s3.put_object(Bucket=BUCKET, Key="caches/pixels-old.cache", Body=content)
    new = cache(tmp_path / "pixels-new.cache", "after")
    with pytest.raises(ConfigError) as refused:
        send(cfg, new, "after")
    assert f"{URI}pixels-old.cache" in refused.value.message and refused.value.key == "data.cache_uri"
    assert f"data.cache_uri={URI}after" in str(refused.value.fix)
    assert set(objects(clients)) == {"caches/pixels-old.cache"}


def test_a_folder_of_this_machine_is_built_in_by_another_word() -> None:
    cfg = OmegaConf.create({"data": {"cache_uri": "/data/my caches"}})
    with pytest.raises(ConfigError, match="is a folder of this machine") as refused:
        data_actions._cache(cfg)
    assert refused.value.fix == "'data.cache_dir=\"/data/my caches\"'"
