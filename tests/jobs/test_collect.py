"""Results brought from S3 into run folders: their shape, again and again, hostile archives, interruptions."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from launchers.aws.clients import Clients
from launchers.jobs import collect as module
from launchers.jobs import placing, results
from launchers.jobs.collect import collect
from launchers.jobs.standing import TRAINING, TUNING, Job, Trial
from sweepmaker.config.errors import UserError
from sweepmaker.run import reader
from tests.jobs.aws import BUCKET, Calls

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
RECORD = {
    "schema": 1, "state": "interrupted", "pid": 7, "heartbeat": "", "overrides": ["seed=1"], "timing": {},
    "objective": {"name": "valid/top1", "mode": "max", "value": 0.9}, "failure": None, "job": None,
}  # fmt: skip


def trial(number: int, status: str = "Completed", **more: Any) -> Trial:
    known = {"value": 0.5 + number / 100, "tuned": {"lr": f"1e-{number}", "batch_size": "8"}, **more}
    return Trial(f"sweep-1-{number:03d}-0000000{number}", f"arn:{number}", status, created=TIME, **known)


def job(*trials: Trial, **more: Any) -> Job:
    known = {"metric": "valid/top1_best", "output": f"s3://{BUCKET}/sweepmaker/jobs/", **more}
    return Job(TUNING, "sweep-1", "arn:sweep", "Completed", TIME, trials, **known)


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mtime = 1_700_000_000
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def put(clients: Clients, one: Trial, name: str, content: bytes) -> None:
    clients.s3.put_object(Bucket=BUCKET, Key=f"sweepmaker/jobs/{one.name}/output/{name}", Body=content)


def left(clients: Clients, one: Trial, **record: Any) -> None:
    """What one of our trials leaves."""
    files = {"run.json": json.dumps(RECORD | record).encode(), "metrics.csv": b"epoch\n1\n",
             ".hydra/overrides.yaml": b"[]\n"}  # fmt: skip
    put(clients, one, "output.tar.gz", packed(files))
    put(clients, one, "model.tar.gz", packed({"model.json": b"{}", "code/inference.py": b"pass"}))


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def quiet(line: str) -> None:
    pass


def test_trials_land_in_the_shape_of_runs(clients: Clients, tmp_path: Path) -> None:
    good, failed, stopped, bare, running = (
        trial(1), trial(2, "Failed", reason="AlgorithmError: no memory in 123456789012", value=None),
        trial(3, "Stopped"), trial(4, "Stopped", value=None), trial(5, "InProgress"),
    )  # fmt: skip
    left(clients, good, state="completed")
    left(clients, failed, state="running")
    left(clients, stopped)
    (tmp_path / "multirun.yaml").write_text("overrides: [+experiment=b2, 'lr=1e-1,1e-2', epochs=3]\n")
    done = collect(clients, job(good, failed, stopped, bare, running), tmp_path, quiet)
    assert (done.fetched, done.running, done.problems) == (4, 1, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "0", "1", "2", "3", "multirun.yaml", "optimization_results.yaml",
    ]  # fmt: skip
    assert {"model/model.json", "model/code/inference.py", "metrics.csv", ".hydra/overrides.yaml"} <= set(
        tree(tmp_path / "0")
    )
    records = [reader.read(tmp_path / str(number)) or {} for number in range(4)]
    assert [record["state"] for record in records] == ["completed", "failed", "stopped", "stopped"]
    assert records[1]["failure"]["message"] == "AlgorithmError: no memory in 1234****9012"
    assert records[0]["job"]["name"] == good.name and records[0]["job"]["tuning_job"] == "sweep-1"
    assert records[0]["overrides"] == ["seed=1"]
    assert records[3]["overrides"] == ["+experiment=b2", "lr=1e-4", "epochs=3", "batch_size=8"]
    assert yaml.safe_load((tmp_path / "optimization_results.yaml").read_text()) == {
        "name": "sagemaker", "best_params": {"batch_size": 8, "lr": 0.001}, "best_value": 0.53,
    }  # fmt: skip


def test_collecting_again_changes_and_downloads_nothing(clients: Clients, tmp_path: Path) -> None:
    ones = (trial(1), trial(2, "Failed"))
    left(clients, ones[0])
    collect(clients, job(*ones), tmp_path, quiet)
    before = tree(tmp_path)
    calls = Calls(clients)
    done = collect(clients, job(*ones), tmp_path, quiet)
    assert (done.fetched, done.unchanged) == (0, 2)
    assert calls.count("GetObject") == 0 and tree(tmp_path) == before


def test_a_later_trial_gets_the_next_number(clients: Clients, tmp_path: Path) -> None:
    first, second, third = trial(1), trial(2), trial(3)
    collect(clients, job(first, third), tmp_path, quiet)
    done = collect(clients, job(second, first, third), tmp_path, quiet)  # another order: numbers stay
    assert done.folders[first.name].name == "0" and done.folders[third.name].name == "1"
    assert done.folders[second.name].name == second.name  # 0 is taken
    assert done.fetched == 1


def test_what_the_user_put_there_stays(clients: Clients, tmp_path: Path) -> None:
    one, other = trial(1), trial(2)
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "notes.txt").write_text("mine")
    left(clients, one)
    done = collect(clients, job(one, other), tmp_path, quiet)
    assert done.folders[other.name].name == other.name
    folder = done.folders[one.name]
    (folder / "notes.txt").write_text("mine")
    (folder / "metrics.csv").write_text("edited")
    put(clients, one, "output.tar.gz", packed({"run.json": b"{}", "metrics.csv": b"new", "more": b"1"}))
    said: list[str] = []
    collect(clients, job(one, other), tmp_path, said.append)
    assert (folder / "notes.txt").read_text() == "mine"
    assert (folder / "metrics.csv").read_text() == "edited" and "metrics.csv" in said[0]
    assert (folder / "more").exists() and not (folder / ".hydra" / "overrides.yaml").exists()


def test_a_single_job_is_a_run_folder(clients: Clients, tmp_path: Path) -> None:
    one = Trial("alone", "arn", "Completed", created=TIME, value=0.5)
    left(clients, one, state="completed")
    (tmp_path / "launch.json").write_text("{}")
    alone = Job(TRAINING, "alone", "arn", "Completed", TIME, (one,), output=f"s3://{BUCKET}/sweepmaker/jobs")
    collect(clients, alone, tmp_path, quiet)
    assert {"launch.json", "run.json", "metrics.csv", "model/model.json", placing.FILE} <= set(tree(tmp_path))
    assert collect(clients, alone, tmp_path, quiet).unchanged == 1


@pytest.mark.parametrize("form", ["data inside", "uncompressed"])
def test_other_forms_of_the_output(form: str, clients: Clients, tmp_path: Path) -> None:
    one = trial(1)
    if form == "data inside":
        put(clients, one, "output.tar.gz", packed({"data/metrics.csv": b"1", "failure": b"no"}))
    else:
        put(clients, one, "output/metrics.csv", b"1")
        put(clients, one, "model/code/a.py", b"2")
        put(clients, one, "profiler-output/x", b"3")
    collect(clients, job(one), tmp_path, quiet)
    assert (tmp_path / "0" / "metrics.csv").read_bytes() == b"1"
    assert (tmp_path / "0" / "model" / "code" / "a.py").exists() == (form == "uncompressed")
    assert not (tmp_path / "0" / "x").exists() and not (tmp_path / "0" / "failure").exists()


def test_a_hostile_archive_costs_one_trial(clients: Clients, tmp_path: Path) -> None:
    bad, good = trial(1), trial(2)
    put(clients, bad, "output.tar.gz", packed({"../../evil": b"x"}))
    left(clients, good)
    done = collect(clients, job(bad, good), tmp_path / "sweep", quiet)
    assert len(done.problems) == 1 and "evil" in done.problems[0] and bad.name in done.problems[0]
    assert (reader.read(tmp_path / "sweep" / "0") or {})["state"] == "completed"
    assert (tmp_path / "sweep" / "1" / "metrics.csv").exists()
    assert not list(tmp_path.glob("**/evil"))


def test_hostile_names_are_refused(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the name of a training job"):
        collect(clients, job(Trial("../x", status="Completed")), tmp_path / "sweep", quiet)
    one = trial(1)
    put(clients, one, "output/a/../../../../evil", b"x")
    done = collect(clients, job(one), tmp_path / "sweep", quiet)
    assert len(done.problems) == 1 and not list(tmp_path.glob("**/evil"))


def test_killed_on_the_way_nothing_is_half(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ones = (trial(1), trial(2))
    for one in ones:
        left(clients, one)

    write = results.write_record

    def killed(run: Path, of: Job, one: Trial, *rest: Any) -> None:
        if one is ones[1]:
            raise KeyboardInterrupt
        write(run, of, one, *rest)

    monkeypatch.setattr(results, "write_record", killed)
    with pytest.raises(KeyboardInterrupt):
        collect(clients, job(*ones), tmp_path, quiet)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]
    monkeypatch.undo()
    (tmp_path / f"{module._TEMPORARY}abc").mkdir()  # of one that was killed outright
    done = collect(clients, job(*ones), tmp_path, quiet)
    assert (done.fetched, done.unchanged) == (1, 1)
    assert not list(tmp_path.glob(".collecting*"))


def test_killed_while_files_are_put_in_place(
    clients: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trial(1)
    left(clients, one)
    collect(clients, job(one), tmp_path, quiet)
    put(clients, one, "output.tar.gz", packed({"run.json": b"{}", "metrics.csv": b"new", "z": b"1"}))
    replace, moved = placing._move, []

    def stops(new: Path, folder: Path, name: str, ours: Any) -> bool:
        moved.append(name)
        if len(moved) == 2:
            raise KeyboardInterrupt
        return replace(new, folder, name, ours)

    monkeypatch.setattr(placing, "_move", stops)
    with pytest.raises(KeyboardInterrupt):
        collect(clients, job(one), tmp_path, quiet)
    monkeypatch.undo()
    said: list[str] = []
    assert collect(clients, job(one), tmp_path, said.append).fetched == 1
    assert said == [] and (tmp_path / "0" / "metrics.csv").read_bytes() == b"new"
    assert collect(clients, job(one), tmp_path, quiet).unchanged == 1


def test_two_collections_of_one_folder(clients: Clients, tmp_path: Path) -> None:
    with module._alone(tmp_path), pytest.raises(UserError, match="another process"):
        collect(clients, job(trial(1)), tmp_path, quiet)


def test_no_such_bucket_is_one_message(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no bucket 'not-there'"):
        collect(clients, job(trial(1), output="s3://not-there/x"), tmp_path, quiet)


def test_the_command_line_of_the_best(tmp_path: Path) -> None:
    one = trial(1, tuned={"batch_size": "8", "+custom.x": "'a b'"})
    told = results.summary(job(one), ["+experiment=b2", "+custom.x='a b',c", "batch_size=8,16"], {})
    assert told is not None
    assert told["command"] == """python train.py +experiment=b2 '+custom.x='"'"'a b'"'"'' batch_size=8"""
    assert results.summary(job(trial(1, value=None)), [], {}) is None
