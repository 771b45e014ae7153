"""The tree around a container, the machines of a job, and what is carried out of the run folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sweepmaker.config.errors import ConfigError
from sweepmaker.container import outcome
from sweepmaker.container.folders import Folders
from sweepmaker.container.hosts import Hosts


def test_the_tree_is_where_the_platform_puts_it() -> None:
    folders = Folders.of({})
    assert folders.hyperparameters == Path("/opt/ml/input/config/hyperparameters.json")
    assert folders.failure == Path("/opt/ml/output/failure")
    assert folders.model == Path("/opt/ml/model")
    assert Folders.of({"SAGEMAKER_BASE_DIR": ""}) == folders
    assert folders.local("/opt/ml/input/data/x") == Path("/opt/ml/input/data/x")


def test_the_tree_elsewhere(tmp_path: Path) -> None:
    folders = Folders.of({"SAGEMAKER_BASE_DIR": str(tmp_path)})
    assert folders.output_data == tmp_path / "output" / "data"
    assert folders.local("/opt/ml/input/../model") == tmp_path / "model"
    assert folders.local("/opt/mlx") == Path("/opt/mlx")
    assert folders.local("/srv/code") == Path("/srv/code")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "checkpoints"),
        ({"LocalPath": "/opt/ml/checkpoints"}, "checkpoints"),
        ({"LocalPath": "/opt/ml/kept/here"}, "kept/here"),
        ({"LocalPath": None}, "checkpoints"),
        ({}, "checkpoints"),
    ],
)
def test_the_run_folder_is_kept_with_the_checkpoints(
    tmp_path: Path, config: dict[str, object] | None, expected: str
) -> None:
    if config is not None:
        (tmp_path / "input" / "config").mkdir(parents=True)
        (tmp_path / "input" / "config" / "checkpointconfig.json").write_text(json.dumps(config))
    run = Folders(tmp_path).run({"TRAINING_JOB_NAME": "tune-001-abc"})
    assert run == tmp_path / expected / "tune-001-abc" / "run"
    assert run.is_dir()
    assert Folders(tmp_path).run({"TRAINING_JOB_NAME": "tune-001-abc"}) == run
    assert Folders(tmp_path).run({}) == tmp_path / expected / "run"


@pytest.mark.parametrize("name", ["..", "a/b", "-a", "a-", "a_b", "a\n", "x" * 64, "/etc"])
def test_a_job_of_a_strange_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="TRAINING_JOB_NAME"):
        Folders(tmp_path).run({"TRAINING_JOB_NAME": name})
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_checkpoints_the_run_goes_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints").write_text("a file is in the way")
    run = Folders(tmp_path).run({"TRAINING_JOB_NAME": "job"})
    assert run.is_dir() and not run.is_relative_to(tmp_path)
    run.rmdir()
    assert "begins anew" in capsys.readouterr().err


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    (tmp_path / "input" / "data" / "weights").mkdir(parents=True)
    folders = Folders(tmp_path)
    assert folders.channel("weights") == tmp_path / "input" / "data" / "weights"
    with pytest.raises(ConfigError) as refused:
        folders.channel("data")
    assert str(refused.value).startswith("job.channels.data: the job has no input channel 'data'")
    assert "allowed: weights" in str(refused.value)


def test_one_machine_changes_nothing(tmp_path: Path) -> None:
    hosts = Hosts.read(tmp_path / "resourceconfig.json")
    assert hosts.rank == 0 and hosts.overrides() == [] and hosts.variables({}) == {}
    assert hosts.is_main_process()


def test_machines_agree_on_who_is_first(tmp_path: Path) -> None:
    """Whatever order the file has: ranks differ, and all know the same address."""
    names = ["algo-2", "algo-10", "algo-1"]
    found = {}
    for name in names:
        path = tmp_path / name
        path.write_text(json.dumps({"hosts": names, "current_host": name, "network_interface_name": "eth0"}))
        found[name] = Hosts.read(path)
    assert {name: hosts.rank for name, hosts in found.items()} == {"algo-1": 0, "algo-10": 1, "algo-2": 2}
    variables = found["algo-2"].variables({"GLOO_SOCKET_IFNAME": "mine"})
    assert variables == {
        "MASTER_ADDR": "algo-1", "MASTER_PORT": "7777", "NODE_RANK": "2",
        "NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "mine",
    }  # fmt: skip
    assert found["algo-1"].overrides() == ["++trainer.num_nodes=3"]
    assert found["algo-2"].overrides()[:2] == ["++trainer.num_nodes=3", "hydra.output_subdir=null"]
    assert found["algo-2"].variables({"TORCHELASTIC_RUN_ID": "1"}) == {}
    assert [name for name, hosts in found.items() if hosts.is_main_process()] == ["algo-1"]


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK"])
def test_another_rank_of_the_machine_is_not_the_main_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not Hosts().is_main_process()


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"hosts": "algo-1", "current_host": "algo-1"}', '{"hosts": [1], "current_host": 1}',
     '{"hosts": ["algo-1"], "current_host": "algo-2"}', '{"hosts": [], "current_host": null}'],
)  # fmt: skip
def test_a_strange_list_of_machines_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "resourceconfig.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="resourceconfig"):
        Hosts.read(path)


def test_what_a_run_leaves_is_copied_and_stays(tmp_path: Path) -> None:
    run, folders = tmp_path / "run", Folders(tmp_path / "ml")
    files = {
        "run.json": "{}", "metrics.csv": "a,b", ".hydra/config.yaml": "lr: 1", "debugger/findings.json": "[]",
        "model/model.json": "{}", "model/code/x/y.py": "pass", "checkpoints/last.ckpt": "big",
        ".run.json.abc.tmp": "half", ".model.xyz/model.json": "half", "profiler/.a.json.1.tmp": "half",
    }  # fmt: skip
    for name, text in files.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(text)
    (run / "secret").symlink_to("/etc/passwd")
    (run / "elsewhere").symlink_to("/etc")
    os.mkfifo(run / "pipe")
    before = sorted(run.rglob("*"))
    for _ in range(2):  # a job that is started again does it again
        outcome.keep(run, folders)
    assert sorted(run.rglob("*")) == before
    copied = sorted(str(path.relative_to(folders.base)) for path in folders.base.rglob("*") if path.is_file())
    assert copied == [
        "model/code/x/y.py", "model/model.json", "output/data/.hydra/config.yaml",
        "output/data/debugger/findings.json", "output/data/metrics.csv", "output/data/run.json",
    ]  # fmt: skip
    assert (folders.model / "code" / "x" / "y.py").read_text() == "pass"


def test_a_run_that_never_began_leaves_nothing(tmp_path: Path) -> None:
    outcome.keep(tmp_path / "run", Folders(tmp_path / "ml"))
    assert not (tmp_path / "ml").exists()
