"""data.py as people call it: JSON on stdout, the rest on stderr, nothing left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.data import ImageDataModule
from tests.images import class_tree
from tests.integration.runs import Ended, script
from tests.jobs.aws import ACCOUNT, BUCKET, ENVIRONMENT, SECRETS

NO_TORCH = "raise RuntimeError('torch was imported')"


@pytest.fixture(autouse=True)
def _no_settings_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ.keys() - ENVIRONMENT.keys():
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return class_tree(tmp_path / "pets", images=2)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The folder that data.py is called in; stays as it was."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def data(*arguments: str, work: Path, torch: bool = True, **env: str) -> Ended:
    env = {**ENVIRONMENT, "XDG_CACHE_HOME": str(work.parent / "cache"), **env}
    if not torch:
        broken = work.parent / "broken"
        broken.mkdir(exist_ok=True)
        (broken / "torch.py").write_text(NO_TORCH)
        env["PYTHONPATH"] = str(broken)
    ended = script("data.py", *arguments, cwd=work, **env)
    assert list(work.iterdir()) == [], "it left something behind"
    assert "Traceback" not in ended.err, ended.err
    assert not [secret for secret in SECRETS if secret in ended.out + ended.err]
    return ended


def result(ended: Ended) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(ended.out)
    return content


MISTAKES = [
    (["action=uplod"], ["action: 'uplod' is unknown", "check, stats, cache, upload", "fix: action=upload"]),
    (["+experiment=b2", "action=look"], ["action: 'look'"]),
    (["-m", "action=check,stats"], ["one thing at a time"]),
    (["dry_run=maybe"], ["dry_run: 'maybe'", "true or false"]),
    (["actoin=check"], ["actoin: there is no such key"]),
    (["data=digitz"], ["there is no 'digitz'", "did you mean digits?"]),
    (["data=folder"], ["data.root: is needed"]),
    (["data=folder", "data.root=/no/such"], ["data.root: /no/such is not a folder"]),
    (["data=folder", "data.root=s3://bucket/x", "action=stats"], ["data.root: is in S3", "aws s3 sync"]),
    (["data=own", "data._target_=mine.Data"], ["data module of your own", "data=folder"]),
    (["action=upload"], ["nothing to upload for digits", "data=folder data.root=FOLDER"]),
    (["seed=-1"], ["seed: -1"]),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES, ids=lambda value: " ".join(value)[:40])
def test_a_mistake_is_answered_without_torch(arguments: list[str], words: list[str], work: Path) -> None:
    ended = data(*arguments, work=work, torch=False)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("error: ")
    for word in words:
        assert word in ended.err


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        (["where.bucket=null"], 2, ["where.bucket: is needed", "dry_run=true"]),
        (["where.bucket=x", "where.profile=nobody"], 2, ["where.profile", "'nobody'"]),
        (["where=embedded", "where.server=null"], 2, ["no address", "dry_run=true"]),
    ],
    ids=["bucket", "profile", "embedded"],
)
def test_what_an_upload_lacks_is_said_first(
    settings: list[str], code: int, words: list[str], pets: Path, work: Path
) -> None:
    ended = data("action=upload", "data=folder", f"data.root={pets}", *settings, work=work, torch=False)
    assert (ended.code, ended.out) == (code, "")
    for word in words:
        assert word in ended.err


def test_no_credentials_lead_to_the_next_step(pets: Path, work: Path) -> None:
    arguments = ["action=upload", "data=folder", f"data.root={pets}", "where.bucket=x"]
    none = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), "")
    ended = data(*arguments, work=work, torch=False, **none)
    assert (ended.code, ended.out) == (1, "")
    assert "no AWS credentials" in ended.err
    assert "where=embedded" in ended.err
    assert "dry_run=true" in ended.err


def test_a_root_in_s3_is_used_as_it_is(work: Path) -> None:
    ended = data("action=upload", "data=folder", "data.root=s3://bucket/dogs", work=work, torch=False)
    assert ended.code == 0
    assert result(ended) == {"uri": "s3://bucket/dogs/", "sent": 0}


@pytest.mark.slow
def test_check_counts_and_names_what_is_bad(pets: Path, work: Path) -> None:
    (pets / "train/cat/bad.jpg").write_bytes(b"\xff\xd8\xff no image")
    for number in range(25):
        (pets / f"train/dog/bad{number}.jpg").write_bytes(b"")
    ended = data("data=folder", f"data.root={pets}", work=work)
    assert ended.code == 1
    assert "26 bad image(s)" in ended.err
    found = result(ended)
    assert found["images"] == {"train": 4, "valid": 4, "test": 4}
    assert found["classes"]["cat"] == {"train": 2, "valid": 2, "test": 2}
    assert list(found["classes"]) == ["cat", "dog"]
    assert found["pixels"] == {"smallest": 432, "median": 432, "largest": 432}
    assert found["bytes"] == sum(path.stat().st_size for path in pets.rglob("[0-9].jpg"))
    assert {entry["file"] for entry in found["bad"]} >= {"train/cat/bad.jpg", "train/dog/bad24.jpg"}
    assert all(entry["reason"] for entry in found["bad"])
    assert len(found["bad"]) == 26
    ended = data("data=folder", f"data.root={pets}", "data.on_bad_image=skip", work=work)
    assert (ended.code, result(ended)) == (0, found)


@pytest.mark.slow
def test_stats_are_those_that_training_uses(pets: Path, work: Path) -> None:
    found = result(data("action=stats", "data=folder", f"data.root={pets}", "data.stats=imagenet", work=work))
    module = ImageDataModule(source="folder", root=str(pets), image_size=64, batch_size=16, seed=0)
    kept = {path: path.stat().st_mtime_ns for path in (pets / ".sweepmaker").iterdir()}
    module.setup()
    assert tuple(found["mean"]) == module.stats_.mean
    assert tuple(found["std"]) == module.stats_.std
    assert (found["images"], found["fingerprint"]) == (4, module.fingerprint)
    # training found the numbers there and computed nothing
    assert {path: path.stat().st_mtime_ns for path in (pets / ".sweepmaker").iterdir()} == kept


@pytest.mark.slow
def test_cache_is_the_one_that_training_uses(pets: Path, work: Path) -> None:
    found = result(data("action=cache", "data=folder", f"data.root={pets}", "seed=0", work=work))
    module = ImageDataModule(
        source="folder", root=str(pets), image_size=64, batch_size=16, seed=0, cache="disk",
        augment={"crop_scale": [0.25, 1.0], "hflip": 0.5},
    )  # fmt: skip
    before = Path(found["file"]).stat()
    module.setup()
    assert module.describe()["cache"] == found["file"]
    assert (Path(found["file"]).stat().st_ino, before.st_size) == (before.st_ino, found["bytes"])


@pytest.mark.slow
def test_without_arguments_it_looks_at_the_default_data(work: Path) -> None:
    found = result(data(work=work))
    assert found["source"] == "digits"
    assert sum(found["images"].values()) == 1797
    assert found["bad"] == []


@pytest.mark.slow
def test_upload_once(pets: Path, work: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import boto3

    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3", endpoint_url=address)
    s3.create_bucket(Bucket=BUCKET)
    arguments = ["action=upload", "data=folder", f"data.root={pets}", f"where.bucket={BUCKET}"]
    where = {"AWS_ENDPOINT_URL": address}  # SageMaker, S3 and STS, as botocore itself takes it
    ended = data(*arguments, "dry_run=true", work=work)
    planned = result(ended)
    assert "would upload 12 file(s)" in ended.err
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
    ended = data(*arguments, work=work, **where)
    assert ended.code == 0, ended.err
    found = result(ended)
    assert found.pop("sent") == 12
    assert found == {key: planned[key] for key in ("uri", "fingerprint", "files", "bytes")}
    assert "uploaded images of" in ended.err
    there = {entry["Key"]: entry["Size"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    assert there == {entry["key"]: entry["bytes"] for entry in planned["uploads"]}
    # nothing has changed: not even torch is needed to know that
    again = data(*arguments, f"where.bucket_owner={ACCOUNT}", work=work, torch=False, **where)
    assert (again.code, result(again)) == (0, found | {"sent": 0})
    assert "all there already" in again.err


@pytest.mark.slow
def test_a_dry_run_needs_no_bucket_no_account_no_network(pets: Path, work: Path) -> None:
    none = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"), "")
    ended = data("action=upload", "dry_run=true", "data=folder", f"data.root={pets}", work=work, **none)
    assert ended.code == 0, ended.err
    assert result(ended)["uri"].startswith("s3://sweepmaker-000000000000/sweepmaker/data/")
    assert "where.bucket is not set" in ended.err
