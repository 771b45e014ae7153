"""The life of one training job where something comes between: kills, stops, limits, internal errors."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.embedded import artifacts, tree
from launchers.embedded.failure import failure_of
from launchers.embedded.root import BUCKET
from launchers.embedded.runtimes import linux
from launchers.embedded.runtimes.spec import Handle, TrialSpec
from launchers.embedded.slots import Slots
from launchers.embedded.state import TRAINING
from tests.embedded.lives import Killed, Lives, statuses
from tests.embedded.sweeping import SCRIPT, until

pytestmark = pytest.mark.skipif(not linux.HERE, reason="/opt/ml is a private one on Linux only")

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600},
}
QUICK = "print('[metric] score=0.5 epoch=0 step=1;')\n"
ENDLESS = "import time\nprint('[metric] score=0.5 epoch=0 step=1;', flush=True)\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    found = Lives(tmp_path_factory.mktemp("root"))
    yield found
    found.close()


@pytest.fixture(autouse=True)
def as_it_was(lives: Lives) -> Iterator[None]:
    parts, runtime = lives.parts, lives.runtime
    yield
    lives.parts, lives.runtime = parts, runtime


def test_a_kill_while_checkpoints_come_back_loses_none(lives: Lives, monkeypatch: pytest.MonkeyPatch) -> None:
    copyfile, kills = shutil.copyfile, [1]

    def half(source: Path, target: Path) -> Any:
        if "checkpoints" in Path(target).parts and kills:
            kills.pop()
            Path(target).write_text("")
            raise Killed
        return copyfile(source, target)

    monkeypatch.setattr(artifacts.shutil, "copyfile", half)
    lives.parts.faults.ask_for("interrupt", ["after_steps=2", "job=restored"])
    lives.add("restored", SCRIPT, hyper={"rate": "0.5", "epochs": "40", "pause": "0.1"}, **SPOT)
    lives.run("restored")
    assert not kills
    assert lives.document("restored")["TrainingJobStatus"] == "InProgress"
    found = lives.run("restored")  # of the next server
    assert found["TrainingJobStatus"] == "Completed"
    assert lives.log("restored").count("epoch=0 ") == 1
    assert statuses(found).count("Interrupted") == 1


def test_the_longest_run_is_that_of_all_attempts(lives: Lives) -> None:
    limit = {"MaxRuntimeInSeconds": 600}
    lives.add("total", ENDLESS, private={"seconds": 599.7, "attempts": 1}, StoppingCondition=limit)
    found = lives.run("total")
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "Stopping" in statuses(found)
    assert found["TrainingTimeInSeconds"] >= 600


def test_what_a_start_takes_is_not_training(lives: Lives) -> None:
    runtime = lives.runtime

    class Slow:
        name = "slow"

        def start(self, spec: TrialSpec, log: Path) -> Handle:
            time.sleep(4.1)  # as long as a warm process needs to become warm
            return runtime.start(spec, log)

        def close(self) -> None:
            pass

    lives.runtime = Slow()
    lives.add("warmed", QUICK, StoppingCondition={"MaxRuntimeInSeconds": 4})
    assert lives.run("warmed")["TrainingJobStatus"] == "Completed"


def test_training_seconds_outlive_the_server(lives: Lives) -> None:
    lives.add("counted", "import time\ntime.sleep(600)\n")
    with lives.running("counted") as life:
        until(lambda: lives.private("counted").get("seconds", 0) > 0.2, "seconds that are kept")
        life.stop("shutdown")
    assert lives.document("counted")["TrainingJobStatus"] == "InProgress"


@pytest.mark.parametrize("begun", [True, False])
def test_a_spot_job_waits_and_runs_so_long_together(lives: Lives, begun: bool) -> None:
    name = f"waited-{begun}".lower()
    slots = Slots((0,))
    lives.set(slots=slots)
    if not begun:
        assert slots.take(1, lambda: False) is not None
    # the time is over 0.3 s from now
    lives.add(name, ENDLESS, private={"created_s": -599.7}, **SPOT)
    found = lives.run(name)
    assert (found["TrainingJobStatus"], found["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")
    assert ("Pending" in statuses(found)) is not begun


def test_stopping_is_told_while_the_process_saves(lives: Lives) -> None:
    script = (
        "import pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('[metric] score=0.5 epoch=0 step=1;', flush=True)\n"
        "while not pathlib.Path('/opt/ml/checkpoints/go').exists(): time.sleep(0.01)\n"
        "pathlib.Path('/opt/ml/checkpoints/late').write_text('kept')\n"
    )
    lives.add("saves", script)
    with lives.running("saves") as life:
        until(lambda: lives.document("saves").get("FinalMetricDataList"), "its first line")
        life.stop("user")
        until(lambda: statuses(lives.document("saves"))[-1] == "Stopping", "Stopping")
        assert lives.document("saves")["TrainingJobStatus"] == "Stopping"
        (lives.parts.root.job("saves") / "ml" / "checkpoints" / "go").touch()
    found = lives.document("saves")
    assert (found["TrainingJobStatus"], statuses(found)[-3:]) == (
        "Stopped", ["Stopping", "Uploading", "Stopped"],
    )  # fmt: skip
    assert "checkpoints/late" in lives.keys("checkpoints/")


@pytest.mark.parametrize("retries", [0, 1])
def test_an_exception_is_an_internal_error(lives: Lives, retries: int) -> None:
    runtime, name = lives.runtime, f"internal-{retries}"

    class Once:
        name = "once"
        failed = False

        def start(self, spec: TrialSpec, log: Path) -> Handle:
            if not self.failed:
                self.failed = True
                raise RuntimeError("no process could be started")
            return runtime.start(spec, log)

        def close(self) -> None:
            pass

    lives.runtime = Once()
    strategy = {"RetryStrategy": {"MaximumRetryAttempts": retries}} if retries else {}
    lives.add(name, QUICK, **strategy)
    found = lives.run(name)
    assert found["TrainingJobStatus"] == ("Completed" if retries else "Failed")
    if not retries:
        assert found["FailureReason"].startswith("InternalServerError")
    assert not (lives.parts.root.job(name) / "ml").exists()


def test_nothing_of_a_job_without_its_input_stays(lives: Lives) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/nowhere/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    asked = [{"RuleConfigurationName": "Overfit", "RuleEvaluatorImage": "rules:latest"}]
    watched = {"ProfilerConfig": {"S3OutputPath": f"s3://{BUCKET}/p"}, "ProfilerRuleConfigurations": asked}
    lives.add("no-input", QUICK, InputDataConfig=[channel], DebugRuleConfigurations=asked, **watched)
    layer = lives.parts.root.job("no-input") / "layer"  # as a killed guard would have left it
    layer.mkdir(parents=True)
    found = lives.run("no-input")
    assert found["TrainingJobStatus"] == "Failed"
    for kind in ("DebugRule", "ProfilerRule"):  # nobody is left waiting for them
        assert [one["RuleEvaluationStatus"] for one in found[f"{kind}EvaluationStatuses"]] == ["Error"], kind
    assert not (lives.parts.root.job("no-input") / "ml").exists()
    assert not layer.exists()


def test_a_job_stopped_before_it_went_on_keeps_its_newest_checkpoints(lives: Lives) -> None:
    lives.add("late-stop", QUICK, private={"attempts": 1, "stop": "user"})
    folder = lives.parts.root.job("late-stop") / "ml" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "newest").write_text("x")
    assert lives.run("late-stop")["TrainingJobStatus"] == "Stopped"
    assert "checkpoints/newest" in lives.keys("checkpoints/")


def test_a_channel_is_a_snapshot(lives: Lives, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever clients put while its files are placed."""
    channels, file = tree.channels, tmp_path / "file"

    def replaced(*arguments: Any) -> None:
        file.write_text("after")
        lives.parts.store.put_file(BUCKET, "pinned/b", file)
        lives.parts.store.delete(BUCKET, "pinned/a")
        channels(*arguments)

    for name in ("a", "b"):
        file.write_text("before")
        lives.parts.store.put_file(BUCKET, f"pinned/{name}", file)
    (before,) = {path.parent.parent for _, _, path in lives.parts.store.list(BUCKET, "pinned/")}
    monkeypatch.setattr(tree, "channels", replaced)
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/pinned/"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    script = (
        "import pathlib\nfor one in 'ab': print(pathlib.Path('/opt/ml/input/data/train', one).read_text())\n"
    )
    lives.add("snapshot", script, InputDataConfig=[channel])
    found = lives.run("snapshot")
    assert found["TrainingJobStatus"] == "Completed", found
    assert lives.log("snapshot").split() == ["before", "before"]
    # afterwards nothing is kept that no object names
    kept = {path for path in before.rglob("*") if path.is_file()}
    assert kept == {path for _, _, path in lives.parts.store.list(BUCKET, "")}


def test_a_script_that_knows_nothing_of_tuning_jobs_is_told_why_it_begins_anew(lives: Lives) -> None:
    lives.parts.faults.ask_for("interrupt", ["after_steps=1", "job=alone"])
    lives.add(
        "alone", ENDLESS.replace("600", "3"), CheckpointConfig={"S3Uri": f"s3://{BUCKET}/alone"}, **SPOT
    )
    assert lives.run("alone")["TrainingJobStatus"] == "Completed"
    assert lives.log("alone").count("no checkpoint in S3: the training job begins anew") == 1


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "long", "none"])
def test_failure_is_read_with_care(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "output" / "failure"
    path.parent.mkdir()
    if kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "long":
        path.write_bytes(b"x" * (1 << 20))
    told = failure_of(tmp_path, 1)
    assert len(told) <= 1024
    assert told.startswith(
        "AlgorithmError: x" if kind == "long" else "AlgorithmError: no failure was written"
    )


def test_checkpoints_that_were_removed_after_a_restart_are_removed_in_s3(
    lives: Lives, tmp_path: Path
) -> None:
    folder, record = tmp_path / "checkpoints", tmp_path / "record"
    folder.mkdir()

    def checkpoints() -> artifacts.Checkpoints:
        return artifacts.Checkpoints(lives.parts.store, folder, f"s3://{BUCKET}/recalled", "", record)

    for name in ("old", "new"):
        (folder / name).write_text(name)
    checkpoints().copy()
    again = checkpoints()
    again.recall()
    (folder / "old").unlink()
    again.copy()
    assert lives.keys("recalled/") == ["recalled/new"]


def test_what_checkpoints_leave_out_is_copied_before_them(
    lives: Lives, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy may end at any file; one without its other half would be no use."""
    folder = tmp_path / "checkpoints" / "trial"
    folder.mkdir(parents=True)
    for name in ("last.ckpt", "a.ckpt", "frozen-12.ckpt", "best-001.ckpt"):
        (folder / name).write_text(name)
    sent: list[str] = []
    monkeypatch.setattr(lives.parts.store, "put_file", lambda bucket, key, path: sent.append(key))
    address = f"s3://{BUCKET}/ordered"
    artifacts.Checkpoints(lives.parts.store, folder.parent, address, "", tmp_path / "record").copy()
    assert sent[0] == "ordered/trial/frozen-12.ckpt" and len(sent) == 4


def test_checkpoints_that_no_folder_can_hold_are_told(lives: Lives, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for key in ("both/a", "both/a/b"):
        lives.parts.store.put_file(BUCKET, key, tmp_path / "file")
    found = artifacts.Checkpoints(
        lives.parts.store, tmp_path / "checkpoints", f"s3://{BUCKET}/both", "", tmp_path / "record"
    )
    with pytest.raises(artifacts.DownloadError, match="a file and a folder at once"):
        found.restore()


def test_a_change_that_changes_nothing_is_none(lives: Lives) -> None:
    lives.add("same", QUICK)
    before = lives.document("same")["LastModifiedTime"]
    with lives.parts.state.change(TRAINING, "same") as job:
        job.private.setdefault("attempts", 3)
    assert lives.document("same")["LastModifiedTime"] == before
