"""A server that was killed or stopped, and the next one in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.embedded.sweeping import (
    ENDED,
    SCRIPT,
    Whole,
    definition,
    end_of_tuning,
    fixed,
    trials_of,
    tuning,
    until,
)

SETTINGS = ("runtime=process", "poll_s=0.02", "checkpoint_s=0.05", "stop_grace_s=3")


def state(whole: Whole, name: str) -> dict[str, Any]:
    found: dict[str, Any] = whole.client("sagemaker").describe_training_job(TrainingJobName=name)
    found.pop("ResponseMetadata")
    return found


def end(whole: Whole, name: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: one if (one := state(whole, name))["TrainingJobStatus"] in ENDED else None,
        f"the end of {name}",
    )
    return found


def send(
    whole: Whole, name: str, script: str = SCRIPT, *, more: dict[str, Any] | None = None, **hyper: str
) -> None:
    code = whole.put_script(script)
    whole.client("sagemaker").create_training_job(
        TrainingJobName=name,
        HyperParameters=fixed(code, rate="0.5", **hyper),
        **definition(whole, code, **(more or {})),
    )


def value(trial: dict[str, Any]) -> float | None:
    found = trial.get("FinalMetricDataList") or [{"Value": None}]
    return found[0]["Value"]  # type: ignore[no-any-return]


def log_of(whole: Whole, name: str) -> list[str]:
    logs, group = whole.client("logs"), "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]
    return [
        event["message"]
        for stream in streams
        for event in logs.get_log_events(
            logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
        )["events"]
    ]


def test_finished_jobs_are_as_they_were_after_a_kill(tmp_path: Path) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        send(whole, "done", epochs="2", pause="0")
        before, lines = end(whole, "done"), log_of(whole, "done")
        assert any("epoch=1 " in line for line in lines)
        whole.client("s3").put_object(Bucket=whole.said["bucket"], Key="mine", Body=b"kept")
        whole.kill()
        whole.start()
        assert state(whole, "done") == before
        assert log_of(whole, "done") == lines
        body = whole.client("s3").get_object(Bucket=whole.said["bucket"], Key="mine")["Body"].read()
        assert body == b"kept"


def test_a_job_that_never_printed_anything_does_not_keep_the_next_server_away(tmp_path: Path) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{whole.said['bucket']}/nothing/here"}
        channel = {"ChannelName": "training", "DataSource": {"S3DataSource": source}}
        send(whole, "no-input", more={"InputDataConfig": [channel]})
        before = end(whole, "no-input")
        assert before["TrainingJobStatus"] == "Failed"
        whole.kill()
        whole.start()
        assert state(whole, "no-input") == before


@pytest.mark.slow
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_running_trial_goes_on_from_its_checkpoints(tmp_path: Path, how: str) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        send(whole, "long", epochs="30", pause="0.2")
        until(lambda: (value(state(whole, "long")) or 0) > 0.4, "three epochs")
        if how == "kill":
            whole.kill()
        else:
            whole.process.terminate()
            whole.process.wait(30)
        until(lambda: not whole.marked(), "the end of the trial")
        whole.start()
        found = end(whole, "long")
        assert found["TrainingJobStatus"] == "Completed"
        assert value(found) == pytest.approx(0.5 * (1 - 0.5**30), abs=1e-6)
        log = (tmp_path / "root" / "jobs" / "long" / "log").read_text()
        printed = [line.split("epoch=")[1].split()[0] for line in log.splitlines() if "epoch=" in line]
        assert printed.count("0") == 1  # it did not begin anew
        assert set(printed) == {str(epoch) for epoch in range(30)}
        trainings = [one for one in found["SecondaryStatusTransitions"] if one["Status"] == "Training"]
        assert len(trainings) == 2


def test_a_job_that_was_being_stopped_is_stopped_and_keeps_what_it_had(tmp_path: Path) -> None:
    deaf = (
        "import os, pathlib, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(os.environ['SM_MODEL_DIR'], 'half').write_text('h')\n"
        "print('[metric] score=1 epoch=0 step=1;', flush=True)\ntime.sleep(600)\n"
    )
    with Whole(tmp_path / "root", *SETTINGS[:-1], "stop_grace_s=100") as whole:
        send(whole, "deaf", deaf)
        until(lambda: value(state(whole, "deaf")), "its first line")
        whole.client("sagemaker").stop_training_job(TrainingJobName="deaf")
        assert state(whole, "deaf")["TrainingJobStatus"] == "Stopping"
        whole.kill()
        whole.start()
        found = end(whole, "deaf")
        assert found["TrainingJobStatus"] == "Stopped"
        assert found["ModelArtifacts"]["S3ModelArtifacts"].endswith("model.tar.gz")
        until(lambda: not whole.marked(), "the end of the trial")


def test_a_second_server_is_refused_by_name(tmp_path: Path) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        second = Whole(tmp_path / "root", *SETTINGS)
        with pytest.raises(AssertionError):
            second.start()
        assert second.process.wait(30) == 1
        assert second.process.stdout is not None
        second.process.stdout.close()
        log = (tmp_path / "root" / "server.log").read_text()
        assert f"by process {whole.said['pid']} at {whole.said['endpoint_url']}" in log
        assert "Traceback" not in log


def fault(whole: Whole, *words: str) -> None:
    from launchers.embedded.faults import Faults
    from launchers.embedded.root import Root

    Faults(Root(whole.root)).ask_for(words[0], list(words[1:]))


@pytest.mark.parametrize("moment", ["after_s=1.1", "after_steps=2"])
def test_a_spot_interruption(tmp_path: Path, moment: str) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        fault(whole, "interrupt", moment, "job=spot*")
        stopping = {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 600}
        send(
            whole, "spot", epochs="8", pause="0.2",
            more={"EnableManagedSpotTraining": True, "StoppingCondition": stopping},
        )  # fmt: skip
        found = end(whole, "spot")
        assert found["TrainingJobStatus"] == "Completed"
        statuses = [one["Status"] for one in found["SecondaryStatusTransitions"]]
        assert statuses.count("Interrupted") == 1
        assert statuses.count("Training") == 2
        log = (tmp_path / "root" / "jobs" / "spot" / "log").read_text()
        assert log.count("epoch=0 ") == 1  # from the checkpoints in S3
        assert value(found) == pytest.approx(0.5 * (1 - 0.5**8), abs=1e-6)


def test_no_machine_and_too_many_calls(tmp_path: Path) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        fault(whole, "capacity", "job=poor")
        send(whole, "poor")
        assert end(whole, "poor")["FailureReason"].startswith("CapacityError")
        fault(whole, "throttle", "every=2")
        codes = []
        for _ in range(4):
            try:
                whole.client("sagemaker").list_training_jobs()
                codes.append("")
            except whole.client("sagemaker").exceptions.ClientError as error:
                codes.append(error.response["Error"]["Code"])
        assert sorted(codes) == ["", "", "ThrottlingException", "ThrottlingException"]


@pytest.mark.slow
def test_retries_after_the_watcher_of_a_trial_was_killed(tmp_path: Path) -> None:
    import psutil

    with Whole(tmp_path / "root", *SETTINGS) as whole:
        send(whole, "lost", epochs="30", pause="0.2", more={"RetryStrategy": {"MaximumRetryAttempts": 1}})
        send(whole, "last", epochs="60", pause="0.2")
        for name in ("lost", "last"):
            until(lambda name=name: value(state(whole, name)), "its first line")  # type: ignore[misc]
            (zygote,) = psutil.Process(whole.process.pid).children()
            for guard in zygote.children():
                guard.kill()
            if name == "lost":
                assert end(whole, "lost")["TrainingJobStatus"] == "Completed"
        found = end(whole, "last")
        assert (found["TrainingJobStatus"], found["FailureReason"].partition(":")[0]) == (
            "Failed", "InternalServerError",
        )  # fmt: skip


@pytest.mark.slow
def test_a_sweep_interrupted_by_a_stop_is_the_same_sweep(tmp_path: Path) -> None:
    with Whole(tmp_path / "root", *SETTINGS) as whole:
        for name in ("calm", "broken"):
            client = whole.client("sagemaker")
            hyper = {"pause": "0.1", "epochs": "5"}
            request = tuning(
                whole,
                name,
                whole.put_script(),
                jobs=6,
                parallel=1,
                strategy="Bayesian",
                hyperparameters=hyper,
            )
            client.create_hyper_parameter_tuning_job(**request)
            if name == "broken":
                until(lambda: len(trials_of(whole.client("sagemaker"), "broken")) >= 3, "three trials")
                whole.kill()
                whole.start()
            end_of_tuning(whole, name)
        client = whole.client("sagemaker")
        calm, broken = trials_of(client, "calm"), trials_of(client, "broken")
        assert [one["HyperParameters"]["rate"] for one in calm] == [
            one["HyperParameters"]["rate"] for one in broken
        ]
        assert [value(one) for one in calm] == [value(one) for one in broken]
