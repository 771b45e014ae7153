"""The folder that a trial finds at /opt/ml."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchers.embedded import tree
from launchers.embedded.artifacts import DownloadError
from tests.embedded.trials import Trial


def content(ml: Path, name: str) -> object:
    return json.loads((ml / "input" / "config" / name).read_text())


def test_the_platforms_files_say_what_the_service_says(tmp_path: Path) -> None:
    trial = Trial(tmp_path, hyperparameters={"lr": "0.10", "ü": '"x"'}, channels={"train": {"A": "B"}})
    tree.write(trial.ml, job=trial.spec())
    sent = content(trial.ml, "hyperparameters.json")
    assert isinstance(sent, dict)
    assert sent["lr"] == "0.10"
    assert sent["ü"] == '"x"'
    assert content(trial.ml, "inputdataconfig.json") == {"train": {"A": "B"}}
    assert content(trial.ml, "checkpointconfig.json") == {"LocalPath": "/opt/ml/checkpoints"}
    assert content(trial.ml, "resourceconfig.json") == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": "ml.m5.large",
                "hosts": ["algo-1"],
            }
        ],
        "network_interface_name": "lo",
    }
    made = {path.relative_to(trial.ml).as_posix() for path in trial.ml.rglob("*") if path.is_dir()}
    assert made >= {"model", "output/data", "checkpoints", "code", "input/data"}


def test_writing_again_keeps_checkpoints(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    tree.write(trial.ml, job=trial.spec())
    (trial.ml / "checkpoints" / "last.ckpt").write_text("x")
    tree.write(trial.ml, job=trial.spec())
    assert (trial.ml / "checkpoints" / "last.ckpt").read_text() == "x"


def test_a_channel_has_the_stores_files_without_a_copy_that_can_be_written_to(tmp_path: Path) -> None:
    stored = tmp_path / "object"
    stored.write_bytes(b"pixels")
    tree.channels(tmp_path / "ml", "train", [("a/b.png", stored), ("a/c d.png", stored)])
    folder = tmp_path / "ml" / "input" / "data" / "train"
    assert (folder / "a" / "b.png").read_bytes() == b"pixels"
    assert (folder / "a" / "c d.png").read_bytes() == b"pixels"
    linked = (folder / "a" / "b.png").stat().st_ino == stored.stat().st_ino
    if linked:
        assert stored.stat().st_mode & 0o222 == 0
    else:  # a clone, which shares blocks only
        (folder / "a" / "b.png").write_bytes(b"")
        assert stored.read_bytes() == b"pixels"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["../x"], "leads out"),
        (["a/../../x"], "leads out"),
        (["/etc/passwd"], "leads out"),
        ([""], "no name"),
        (["a\0b"], "no name"),
        (["a//b"], "empty part"),
        (["./a"], "empty part"),
        (["a/"], "empty part"),
        (["a", "a/b"], "a file and a folder"),
        (["a/b", "a"], "a file and a folder"),
        (["a/b/c", "a/b"], "a file and a folder"),
        (["a", "a"], "twice"),
        (["x" * 256], "more than 255 bytes"),
    ],
)
def test_a_key_that_is_no_file_of_the_channel_is_refused(tmp_path: Path, keys: list[str], said: str) -> None:
    stored = tmp_path / "object"
    stored.write_bytes(b"")
    with pytest.raises(DownloadError, match=said) as caught:
        tree.channels(tmp_path / "ml", "train", [(key, stored) for key in keys])
    assert str(caught.value).startswith("ClientError: Data download failed:")


@given(st.lists(st.text(alphabet="ab./\0 ü", max_size=8), max_size=4))
def test_whatever_the_keys_nothing_lands_outside(
    tmp_path_factory: pytest.TempPathFactory, keys: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("channel")
    stored = folder / "object"
    stored.write_bytes(b"x")
    before = set(os.listdir(folder))  # noqa: PTH208
    try:
        tree.channels(folder / "ml", "train", [(key, stored) for key in keys])
    except DownloadError:
        pass
    else:
        found = {path for path in (folder / "ml" / "input" / "data" / "train").rglob("*") if path.is_file()}
        assert len(found) == len(keys)
    assert set(os.listdir(folder)) - before <= {"ml"}  # noqa: PTH208
    assert [path.name for path in (folder / "ml" / "input" / "data").iterdir()] == ["train"]


def test_an_object_that_went_meanwhile_is_told(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is gone"):
        tree.channels(tmp_path / "ml", "train", [("a", tmp_path / "missing")])
