"""Predictions of many files: a row for each, whole or not at all."""

from __future__ import annotations

import csv
import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.serving import inference, predict, settings
from sweepmaker.serving.files import image_files
from sweepmaker.serving.model import Model, load
from tests.images import photo_jpeg
from tests.integration.runs import CHECKOUT
from tests.run.disk import small_files
from tests.serving.models import Nowhere, make_model, odd_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "below").mkdir(parents=True)
    for number, (name, content) in enumerate(odd_images().items()):
        (root / ("below" if number % 2 else ".") / f"{number} {name}.jpg").write_bytes(content)
    (root / "broken.jpg").write_bytes(photo_jpeg(0)[:300])
    (root / "empty.png").write_bytes(b"")
    (root / "notes.txt").write_text("no image by its name")
    (root / ".hidden.jpg").write_bytes(b"")
    return root


def options(images: Path | str, output: Path, *more: str) -> settings.Options:
    words = ["action=predict", "run=x", "engine=plain", "top_k=2", *more]
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        found = settings.options(compose("deploy", overrides=[*words, "images=x"]))
    return replace(found, images=str(images), output=str(output))


def table(output: Path) -> list[dict[str, str]]:
    with output.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_for_each_file(
    folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "predictions.csv"
    predict.write(folder, options(images, output, "workers=2"))
    rows = table(output)
    assert [*rows[0]] == ["file", "class", "label", "probability", "label_2", "probability_2", "error"]
    assert [row["file"] for row in rows] == image_files(str(images))
    assert len(rows) == len(odd_images()) + 2
    model = load(folder, engine="plain", top_k=2)
    for row in rows:
        if row["error"]:
            assert row["label"] == row["class"] == row["probability"] == row["label_2"] == ""
            continue
        body = Path(row["file"]).read_bytes()
        (said,) = inference.predict_fn(inference.input_fn(body, "image/jpeg"), model).rows()
        assert (int(row["class"]), row["label"]) == (said["class"], said["label"])
        assert float(row["probability"]) == pytest.approx(said["probability"], abs=1e-4)
        assert row["label_2"] == said["top"][1]["label"]
    errors = {Path(row["file"]).name: row["error"] for row in rows if row["error"]}
    assert "cannot decode" in errors["broken.jpg"] and "the file is empty" in errors["empty.png"]
    said = capsys.readouterr()
    assert said.out == f"{output}\n"
    assert f"2 of {len(rows)} files have no prediction: see the column error" in said.err
    assert f"predict: {len(rows)} in " in said.err


def test_order_and_rows_are_the_same_with_any_number_of_workers(folder: Path, images: Path) -> None:
    model = load(folder, engine="plain")
    files = image_files(str(images)) * 3
    one, four = (
        [predict._cells(row, 3) for row in predict.predictions(model, files, workers)] for workers in (1, 4)
    )
    assert one == four
    assert [cells[0] for cells in one] == files


def test_names_that_are_no_utf8_and_hold_commas(folder: Path, tmp_path: Path) -> None:
    root = os.fsencode(tmp_path) + b"/images"
    os.mkdir(root)  # noqa: PTH102
    for name in (b"a,b\n.jpg", b"\xff.jpg", b'"=1+1".jpg'):
        with open(root + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(photo_jpeg(1, (20, 20)))
    predict.write(folder, options(tmp_path / "images", tmp_path / "out.csv"))
    rows = table(tmp_path / "out.csv")
    assert {Path(row["file"]).name for row in rows} == {"a,b\n.jpg", "\\xff.jpg", '"=1+1".jpg'}
    assert all(row["label"] for row in rows)


def test_what_images_may_be(images: Path) -> None:
    everything = image_files(str(images))
    names = [Path(file).name for file in everything]
    assert "notes.txt" not in names and ".hidden.jpg" not in names
    assert names.index("2 turned.jpg") < names.index("10 webp.jpg")  # as people count
    assert image_files(f"{images}/**/*.jpg") == sorted(
        {*map(str, images.glob("*.jpg")), *map(str, images.glob("below/*.jpg"))}
        - {str(images / ".hidden.jpg")},
        key=lambda file: image_files(f"{images}/**/*.jpg").index(file),
    )
    assert image_files(str(images / "notes.txt")) == [str(images / "notes.txt")]
    (images / "[x].jpg").write_bytes(b"")
    assert image_files(str(images / "[x].jpg")) == [str(images / "[x].jpg")]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nowhere", "images: nowhere matches nothing"),
        ("empty", "images: empty holds no image file"),
        ("*.bmp", "matches nothing"),
        ("x" * 5000, "cannot be looked for: File name too long"),
        ("~nobody-of-that-name/x", "cannot be looked for"),
    ],
)
def test_no_images_is_one_message(
    given: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        image_files(given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("images", "output: images is a folder"),
        ("no/such/x.csv", "output: there is no folder no/such"),
        ("/dev/null", "output: '/dev/null' is no name of a file: it is a device or a pipe"),
        ("images/0 upright.jpg", "is an image by its name"),
    ],
)
def test_a_place_that_takes_no_file_is_refused_first(
    output: str, said: str, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    with pytest.raises(ConfigError, match=said):
        predict.write(Path("no model is looked for"), options(images, Path(output)))


def test_a_full_disk_leaves_the_file_that_was_there(folder: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "predictions.csv"
    output.write_text("before")
    with small_files(100), pytest.raises(UserError, match=os.strerror(errno.EFBIG)):
        predict.write(folder, options(images, output))
    assert output.read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "predictions.csv"]


def test_an_engine_that_fails_ends_it_and_leaves_nothing(
    folder: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Model, pixels: Any) -> torch.Tensor:
        raise RuntimeError("planted")

    monkeypatch.setattr(Model, "normalised", fail)
    with pytest.raises(RuntimeError, match="planted"):
        predict.write(folder, options(images, tmp_path / "out.csv"))
    assert not (tmp_path / "out.csv").exists()
    shutil.rmtree(images)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_file_without_a_finite_answer_is_a_row_with_its_error(folder: Path, tmp_path: Path) -> None:
    files = []
    for number in range(2):
        files.append(str(tmp_path / f"{number}.jpg"))
        Path(files[-1]).write_bytes(photo_jpeg(number))
    rows = list(predict.predictions(replace(load(folder, engine="plain"), engine=Nowhere()), files, 1))
    assert rows[0].answer is not None and rows[1].answer is None
    assert "with nan" in rows[1].error


def test_a_file_of_too_many_pixels_is_named_without_a_key_that_is_not_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "large.jpg").write_bytes(photo_jpeg(0, (80, 50)))
    monkeypatch.setattr(predict, "MAX_PIXELS", 100)
    (row,) = predict.predictions(load(folder, engine="plain"), [str(tmp_path / "large.jpg")], 1)
    assert row.error == f"{tmp_path}/large.jpg has 4,000 pixels, above the 100 that are read"
