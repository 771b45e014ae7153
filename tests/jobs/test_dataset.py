"""A local data set goes to S3 once, under a key that changes exactly when the data does."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from launchers.aws.clients import Clients
from launchers.aws.storage import Storage, open_storage
from launchers.jobs import data_actions, dataset
from sweepmaker.config.errors import ConfigError, DataError
from sweepmaker.data import ImageDataModule
from sweepmaker.data.fashion_mnist import DEBIAN_ROOT
from tests.images import class_tree, photo_jpeg
from tests.jobs.aws import BUCKET, Calls, objects
from tests.jobs.folders import folder, quiet


@pytest.fixture
def storage(clients: Clients) -> Storage:
    return open_storage(clients)


def fingerprint_in_training(root: Path) -> str:
    module = ImageDataModule(
        source="folder", root=str(root), image_size=16, batch_size=2, seed=0, on_bad_image="skip"
    )
    module.setup()
    return module.fingerprint


def test_uploaded_once_under_the_fingerprint_of_training(
    pets: Path, storage: Storage, clients: Clients
) -> None:
    place = dataset.ensure(folder(pets), storage, "sweepmaker", say=quiet)
    assert place is not None
    fingerprint = fingerprint_in_training(pets)
    inside = f"sweepmaker/data/{fingerprint}/"
    assert (place.uri, place.fingerprint) == (f"s3://{BUCKET}/{inside}", fingerprint)
    assert (place.files, place.sent) == (12, 12)
    there = objects(clients)
    assert there.pop(f"sweepmaker/data/{fingerprint}.json") > 0
    files = {str(path.relative_to(pets)): path.stat().st_size for path in pets.rglob("*.jpg")}
    assert there == {inside + name: size for name, size in files.items()}
    calls = Calls(clients)
    again = dataset.ensure(folder(pets), storage, "sweepmaker", say=quiet)
    assert again is not None
    assert (again.uri, again.files, again.size, again.sent) == (place.uri, 12, place.size, 0)
    assert [name for name, _ in calls.made] == ["HeadObject"]


def test_what_arrives_is_the_same_data_set(
    pets: Path, tmp_path: Path, storage: Storage, clients: Clients
) -> None:
    """Odd names, links, bad and other files here; what a container would see has the same fingerprint."""
    (pets / "train/cat/a b+é'&%.jpg").write_bytes(photo_jpeg(90, (24, 18)))
    (pets / "train/cat/linked.jpg").symlink_to(pets / "test/dog/0.jpg")
    (pets / "train/bird").symlink_to(class_tree(tmp_path / "more", ["bird"], splits=["x"]) / "x/bird")
    (pets / "train/dog/back").symlink_to(pets / "train")
    (pets / b"train/dog/\xff.jpg".decode("utf-8", "surrogateescape")).write_bytes(photo_jpeg(91, (24, 18)))
    (pets / "train/dog/bad.jpg").write_bytes(b"\xff\xd8\xff no image")
    (pets / "train/dog/notes.txt").write_text("not an image")
    (pets / ".hidden").mkdir()
    place = dataset.ensure(folder(pets, on_bad_image="skip"), storage, "sweepmaker", say=quiet)
    assert place is not None
    inside = place.uri.removeprefix(f"s3://{BUCKET}/")
    container = tmp_path / "container"
    for key in objects(clients):
        if key.startswith(inside):
            file = container / key.removeprefix(inside)
            file.parent.mkdir(parents=True, exist_ok=True)
            clients.s3.download_file(BUCKET, key, str(file))
    assert fingerprint_in_training(container) == fingerprint_in_training(pets) == place.fingerprint
    names = {path.name for path in container.rglob("*") if path.is_file()}
    assert {"linked.jpg", "a b+é'&%.jpg", "\\xff.jpg"} <= names
    assert not {"bad.jpg", "notes.txt"} & names


def test_the_key_follows_the_content_only(pets: Path, tmp_path: Path) -> None:
    def key(root: Path) -> str:
        return dataset.look(folder(root), root, "p", say=quiet).folder

    first = key(pets)
    copy = tmp_path / "elsewhere"
    shutil.copytree(pets, copy, ignore=shutil.ignore_patterns(".sweepmaker"))
    assert key(copy) == first
    image = copy / "train/cat/0.jpg"
    os.utime(image, ns=(1, 1))
    (copy / "readme.txt").write_text("not an image")
    assert key(copy) == first
    image.write_bytes(photo_jpeg(99, (24, 18)))
    changed = key(copy)
    assert changed != first
    image.rename(copy / "train/cat/renamed.jpg")
    assert key(copy) not in (first, changed)


def test_an_upload_that_broke_off_goes_on(
    pets: Path, storage: Storage, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = dataset.look(folder(pets), pets, "sweepmaker", say=quiet)
    storage.put_all(found.uploads[:5])
    with pytest.raises(RuntimeError), monkeypatch.context() as patch:
        patch.setattr(storage, "put", lambda upload: (_ for _ in ()).throw(RuntimeError("killed")))
        dataset.send(found, storage)
    assert found.manifest.key not in objects(clients)  # so nobody takes it for whole
    calls = Calls(clients)
    place = dataset.send(found, storage)
    assert (place.sent, calls.count("PutObject")) == (0, 1)
    assert json.loads(clients.s3.get_object(Bucket=BUCKET, Key=found.manifest.key)["Body"].read()) == {
        "format": 1, "fingerprint": found.fingerprint, "files": 12, "bytes": found.size,
    }  # fmt: skip


def test_data_that_was_deleted_from_the_bucket_is_sent_again(
    pets: Path, storage: Storage, clients: Clients
) -> None:
    dataset.ensure(folder(pets), storage, "sweepmaker", say=quiet)
    for key in objects(clients):
        clients.s3.delete_object(Bucket=BUCKET, Key=key)
    place = dataset.ensure(folder(pets), storage, "sweepmaker", say=quiet)
    assert place is not None
    assert place.sent == 12


# --- other kinds of data


@pytest.mark.parametrize(
    ("root", "uri"),
    [
        ("s3://bucket/a", "s3://bucket/a/"),
        ("s3://bucket/a/", "s3://bucket/a/"),
        ("s3://bucket", "s3://bucket/"),
    ],
)
def test_a_root_in_s3_is_used_as_it_is(root: str, uri: str, storage: Storage, clients: Clients) -> None:
    calls = Calls(clients)
    for data in ({"source": "folder", "root": root}, {"_target_": "mine.Data", "root": root}):
        place = dataset.ensure(data, storage, "p")
        assert place is not None
        assert (place.uri, place.sent) == (uri, 0)
        assert dataset.preview(data, "b", "p") == place
        assert dataset.local_root(data) is None
    assert calls.made == []


def test_data_that_comes_with_the_code_needs_no_upload(storage: Storage) -> None:
    for data in ({"source": "digits", "root": None}, {"_target_": "mine.Data"}):
        assert dataset.ensure(data, storage, "p") is None
        assert dataset.preview(data, "b", "p") is None


def test_fashion_mnist_goes_as_its_four_files(tmp_path: Path, storage: Storage, clients: Clients) -> None:
    import gzip

    import numpy as np

    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 30), ("t10k", 10)):
        images = np.zeros((count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        header = np.array([0x803, *images.shape], dtype=">u4").tobytes()
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        header = np.array([0x801, count], dtype=">u4").tobytes()
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(header + labels.tobytes()))
    place = dataset.ensure({"source": "fashion_mnist", "root": str(tmp_path)}, storage, "p", say=quiet)
    assert place is not None
    assert {Path(key).name for key in objects(clients) if not key.endswith(".json")} == {
        "train-images-idx3-ubyte", "t10k-images-idx3-ubyte",
        "train-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
    }  # fmt: skip


def test_fashion_mnist_is_looked_for_where_training_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda path: True)
    assert dataset.local_root({"source": "fashion_mnist", "root": None}) == DEBIAN_ROOT


@pytest.mark.parametrize("key", ["root", "cache_uri"])
def test_what_is_in_s3_already_is_named_by_its_key(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = OmegaConf.create({"data": {"source": "folder", key: "s3://bucket/a"}})
    assert data_actions._nothing_to_upload(cfg) == {"uri": "s3://bucket/a/", "sent": 0}
    assert f"data.{key} is in S3 already" in capsys.readouterr().err


# --- refusals: before anything is sent


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "folder", "root": None}, ["data.root", "missing"]),
        ({"source": "folder", "root": "/no/such"}, ["data.root", "/no/such is not a folder", "s3://"]),
        ({"source": "folder", "root": "s3:/bucket"}, ["not an S3 URI", "s3://BUCKET"]),
        ({"source": "folder", "root": "s3://Bucket_/x"}, ["not an S3 URI"]),
        ({"_target_": "mine.Data", "root": "/data"}, ["of your own", "aws s3 sync"]),
    ],
    ids=["no root", "no folder", "one slash", "no bucket name", "own module"],
)
def test_a_root_that_cannot_be_used(data: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        dataset.preview(data, "b", "p")
    for word in words:
        assert word in str(raised.value)


def spoil(pets: Path, how: str) -> None:
    match how:
        case "bad image":
            (pets / "train/cat/bad.jpg").write_bytes(b"no image")
        case "control character":
            (pets / "train/cat/a\nb.jpg").write_bytes(photo_jpeg(7, (24, 18)))
        case "long path":
            deep = pets / "train/cat" / ("d" * 240) / ("e" * 240) / ("f" * 240)
            deep.mkdir(parents=True)
            (deep / "x.jpg").write_bytes(photo_jpeg(7, (24, 18)))
        case "same name as text":
            (pets / b"train/cat/\xff.jpg".decode("utf-8", "surrogateescape")).write_bytes(
                photo_jpeg(7, (24, 18))
            )
            (pets / "train/cat/\\xff.jpg").write_bytes(photo_jpeg(8, (24, 18)))
        case "empty class":
            (pets / "valid/bird").mkdir()
        case "bad split":
            for image in (pets / "test").rglob("*.jpg"):
                image.write_bytes(b"no image")


@pytest.mark.parametrize(
    ("how", "on_bad_image", "words"),
    [
        ("bad image", "stop", ["1 bad image(s)", "bad.jpg", "data.on_bad_image=skip"]),
        ("control character", "stop", ["control characters", "a\\nb.jpg", "rename"]),
        ("long path", "stop", ["longer than 700 bytes", "shorten"]),
        ("same name as text", "stop", ["same name"]),
        ("empty class", "stop", ["'bird'", "no empty folders"]),
        ("bad split", "skip", ["every image of test/ is bad"]),
    ],
)
def test_what_would_not_arrive_whole_is_refused(
    how: str, on_bad_image: str, words: list[str], pets: Path, storage: Storage, clients: Clients
) -> None:
    spoil(pets, how)
    with pytest.raises(DataError) as raised:
        dataset.ensure(folder(pets, on_bad_image=on_bad_image), storage, "p", say=quiet)
    for word in words:
        assert word in str(raised.value)
    assert objects(clients) == {}
