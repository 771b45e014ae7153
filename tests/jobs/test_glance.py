"""What is known of a data set without reading its images, and when that is no longer true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launchers.jobs import dataset
from launchers.jobs.glance import glance
from tests.images import photo_jpeg
from tests.jobs.folders import folder, quiet


def test_a_preview_of_data_that_was_never_looked_at(pets: Path) -> None:
    (pets / "notes.txt").write_text("1234567")
    place = dataset.preview(folder(pets), "bucket", "/team/sweeps/")
    size = sum(path.stat().st_size for path in pets.rglob("*") if path.is_file())
    assert place == dataset.Place(
        f"s3://bucket/team/sweeps/data/{dataset.UNKNOWN}/", dataset.UNKNOWN, 13, size
    )


def test_a_preview_knows_what_was_looked_at(pets: Path) -> None:
    found = dataset.look(folder(pets), pets, "p", say=quiet)
    place = dataset.preview(folder(pets), "bucket", "p")
    assert place == dataset.Place(
        f"s3://bucket/p/data/{found.fingerprint}/", found.fingerprint, 12, found.size
    )


@pytest.mark.parametrize(
    "change", ["content", "new file", "removed", "renamed", "max_pixels", "on_bad_image"]
)
def test_what_is_remembered_ends_with_any_change(pets: Path, change: str) -> None:
    dataset.look(folder(pets), pets, "p", say=quiet)
    image, data = pets / "train/cat/0.jpg", folder(pets)
    match change:
        case "content":
            image.write_bytes(image.read_bytes())  # the time alone is enough to look again
            os.utime(image, ns=(1, 1))
        case "new file":
            (pets / "test/dog/new.jpg").write_bytes(photo_jpeg(5))
        case "removed":
            image.unlink()
        case "renamed":
            (pets / "train/cat").rename(pets / "train/kat")
        case "max_pixels":
            data["max_pixels"] = 100_000
        case "on_bad_image":
            data["on_bad_image"] = "skip"
    assert glance(data, pets).fingerprint is None


def test_a_damaged_memory_is_no_memory(pets: Path, user_cache: Path) -> None:
    dataset.look(folder(pets), pets, "p", say=quiet)
    (file,) = (user_cache / "sweepmaker/uploads").iterdir()
    for content in ("", "[]", '{"state": 1}', file.read_text().replace('"files": 12', '"files": "x"')):
        file.write_text(content)
        assert glance(folder(pets), pets).fingerprint is None


def test_a_cache_that_cannot_be_written_costs_only_time(pets: Path, user_cache: Path) -> None:
    user_cache.write_text("a file where the folder should be")
    assert dataset.look(folder(pets), pets, "p", say=quiet).uploads
    assert glance(folder(pets), pets).fingerprint is None
