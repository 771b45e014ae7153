"""The handler: the same pixels and logits as training, every form of a request, every form of an answer."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sweepmaker.config.errors import ConfigError
from sweepmaker.data.datamodule import ImageDataModule
from sweepmaker.serving import inference
from sweepmaker.serving.errors import RequestError
from sweepmaker.serving.model import Model, load
from sweepmaker.serving.settings import Limits
from tests.images import photo_jpeg
from tests.serving.models import Nowhere, classifier, make_model, odd_images

JPEG = photo_jpeg(1, (61, 45))
TEXT = base64.b64encode(JPEG)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(make_model(tmp_path_factory.mktemp("model")), engine="plain", top_k=2)


def ask(model: Model, body: bytes, kind: str | None, accept: str | None = "application/json") -> Any:
    content, answered = inference.output_fn(
        inference.predict_fn(inference.input_fn(body, kind), model), accept
    )
    return json.loads(content) if answered == "application/json" else content.decode()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ImageDataModule:
    """A data set in which each file is odd in another way."""
    root = tmp_path_factory.mktemp("data")
    for split in ("train", "valid", "test"):
        for number, (name, content) in enumerate(odd_images().items()):
            folder = root / split / ("cat", "dog", "owl")[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.png").write_bytes(content)
    module = ImageDataModule(source="folder", root=str(root), image_size=32, batch_size=5, seed=0, resize=36)
    module.prepare_data()
    module.setup()
    return module


def test_pixels_and_logits_are_those_of_training_bit_by_bit(data: ImageDataModule, tmp_path: Path) -> None:
    network = classifier(3)
    model = load(
        make_model(tmp_path, network, classes=data.class_names, spec=data.transform_spec()), engine="plain"
    )
    files = [Path(data.root or "") / data.source.item_name(int(item)) for item in data._parts["test"]]
    images = [inference.input_fn(file.read_bytes(), "image/jpeg")[0] for file in files]
    right, seen = 0, 0
    for batch in data.test_dataloader():
        prepared, labels = data.on_after_batch_transfer(batch, 0)
        some = images[seen : seen + len(labels)]
        ours = model.normalised([model.pixels(image) for image in some])
        assert torch.equal(ours, prepared)
        with torch.no_grad():
            logits = network(prepared)
        assert torch.equal(model.logits(some), logits)
        for image, expected, label in zip(some, logits, labels, strict=True):
            prediction = inference.predict_fn([image], model)
            assert prediction.numbers() == [int(expected.argmax())]
            right += int(expected.argmax()) == int(label)
        seen += len(labels)
    assert seen == len(odd_images())
    assert 0 < right < seen  # else every answer might be the same


FORMS = [
    (JPEG, "image/jpeg"),
    (JPEG, "IMAGE/PNG; charset=binary"),  # the content decides, as in training
    (JPEG, "application/octet-stream"),
    (JPEG, None),
    (TEXT, "application/octet-stream"),
    (TEXT, "text/plain; charset=utf-8"),
    (TEXT, "image/jpeg"),
    (base64.encodebytes(JPEG), "text/plain"),  # with line breaks
    (TEXT.rstrip(b"="), "text/plain"),
    (base64.urlsafe_b64encode(JPEG), "text/plain"),
    (b"data:image/jpeg;base64," + TEXT, "text/plain"),
    (json.dumps({"image": TEXT.decode()}).encode(), "application/json"),
    (json.dumps({"image": "data:image/jpeg;base64," + TEXT.decode()}).encode(), "application/json"),
    (json.dumps({"image": {"b64": TEXT.decode()}}).encode("utf-16"), "application/json; charset=utf-16"),
]


@pytest.mark.parametrize(("body", "kind"), FORMS)
def test_every_form_of_a_request_is_the_same_image(model: Model, body: bytes, kind: str | None) -> None:
    assert ask(model, body, kind) == ask(model, JPEG, "image/jpeg")


@pytest.mark.parametrize("entry", [TEXT.decode(), {"image": TEXT.decode()}, {"b64": TEXT.decode()}])
def test_instances_are_answered_as_a_list(model: Model, entry: Any) -> None:
    body = json.dumps({"instances": [entry, base64.b64encode(odd_images()["cmyk"]).decode()]}).encode()
    said = ask(model, body, "application/json")
    assert said["predictions"][0]["class"] == ask(model, JPEG, "image/jpeg")["class"]
    assert [*said] == ["predictions"] and len(said["predictions"]) == 2
    numbers = ask(model, body, "application/json", "text/plain").split("\n")
    assert numbers == [str(one["class"]) for one in said["predictions"]]


def test_an_answer_says_class_label_probability_and_the_best(model: Model) -> None:
    said = ask(model, JPEG, "image/jpeg")
    assert [*said] == ["class", "label", "probability", "top"]
    assert said["label"] == ("cat", "dog", "owl")[said["class"]]
    assert len(said["top"]) == 2
    assert said["top"][0] == {name: said[name] for name in ("class", "label", "probability")}
    assert 0 < said["top"][1]["probability"] <= said["probability"] < 1
    assert ask(model, JPEG, "image/jpeg", "text/plain") == str(said["class"])


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/json;q=0.4", "text/plain"),
        ("text/plain;q=0.5, */*", "application/json"),
        ("application/json;q=0, */*;q=0.1", "text/plain"),
        ("image/png, text/plain;level=1", "text/plain"),
        ("APPLICATION/JSON", "application/json"),
    ],
)
def test_the_client_chooses_the_form(model: Model, accept: str | None, kind: str) -> None:
    prediction = inference.predict_fn(inference.input_fn(JPEG, "image/jpeg"), model)
    assert inference.output_fn(prediction, accept)[1] == kind


def test_text_is_answered_as_text_where_the_client_does_not_care(model: Model) -> None:
    number = str(ask(model, JPEG, "image/jpeg")["class"])
    assert ask(model, TEXT, "application/octet-stream", "*/*") == number
    assert ask(model, TEXT, "text/plain", None) == number
    assert ask(model, TEXT, "text/plain", "application/json")["class"] == int(number)


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "application/x-npy", "nonsense"])
def test_what_cannot_be_answered_so_is_406(model: Model, accept: str) -> None:
    with pytest.raises(RequestError, match="text/plain") as error:
        ask(model, JPEG, "image/jpeg", accept)
    assert error.value.status == 406


def instances(*entries: Any) -> bytes:
    return json.dumps({"instances": entries}).encode()


REFUSED = [
    (b"", "image/jpeg", 400, "no body"),
    (b"neither the one nor the other", "image/jpeg", 400, "neither an image"),
    (JPEG[:200], "image/jpeg", 400, "cannot decode the image"),
    (base64.b64encode(b"text"), "text/plain", 400, "nor base64 text of one"),
    (b"data:image/jpeg,abc", "text/plain", 400, "has to be base64"),
    (b"%!PS-Adobe-3.0 EPSF-3.0", "application/octet-stream", 400, "neither an image"),
    (JPEG, "application/x-npy", 415, "allowed: image/*"),
    (JPEG, "multipart/form-data; boundary=x", 415, "allowed: image/*"),
    (b"{", "application/json", 400, "not JSON"),
    (b"\xff\xfe\xfa", "application/json", 400, "not JSON"),
    (b"[" * 1_000_000, "application/json", 400, "nested too deeply"),
    (b'{"image":' * 100_000, "application/json", 400, "nested too deeply"),
    (b"1" * 10_000, "application/json", 400, "not JSON"),
    (b"[]", "application/json", 400, "has to be"),
    (b"{}", "application/json", 400, "has to be"),
    (b"null", "application/json", 400, "has to be"),
    (json.dumps({"image": TEXT.decode(), "more": 1}).encode(), "application/json", 400, "has to be"),
    (json.dumps({"image": "x", "instances": []}).encode(), "application/json", 400, "has to be"),
    (b'{"image": 3}', "application/json", 400, "base64 text"),
    (b'{"image": {"image": {"image": "x"}}}', "application/json", 400, "base64 text"),
    (b'{"image": "\\ud800"}', "application/json", 400, "not base64"),
    (b'{"image": "####"}', "application/json", 400, "not base64"),
    (b'{"image": ""}', "application/json", 400, "no JPEG"),
    (instances(), "application/json", 400, "has to be"),
    (instances(*"a" * 300), "application/json", 413, "300 instances"),
    (instances(TEXT.decode(), None), "application/json", 400, "instances[1]"),
    (b"\xff" * (6 * 2**20 + 1), "image/jpeg", 413, "more than 6 MB"),
]


@pytest.mark.parametrize(("body", "kind", "status", "words"), REFUSED)
def test_a_bad_request_is_told_what_is_wrong(body: bytes, kind: str, status: int, words: str) -> None:
    with pytest.raises(RequestError) as error:
        inference.input_fn(body, kind)
    assert error.value.status == status
    assert words in error.value.message
    assert len(error.value.message) < 400


class Context:
    limits = Limits(pixels=4000)


def test_pixels_of_all_images_together_have_a_limit() -> None:
    one = base64.b64encode(photo_jpeg(0, (50, 40))).decode()
    assert len(inference.input_fn(instances(one, one), "application/json", Context)) == 2
    with pytest.raises(RequestError, match=r"instances\[2\].*2,000 pixels.*more than are left") as error:
        inference.input_fn(instances(one, one, one), "application/json", Context)
    assert error.value.status == 413
    with pytest.raises(RequestError, match="the 4,000 of a request"):
        inference.input_fn(photo_jpeg(0, (80, 60)), "image/jpeg", Context)


def test_a_body_never_runs_code(tmp_path: Path) -> None:
    """The toolkit's own input_fn unpickles application/x-npy, whatever is in it."""
    mark = tmp_path / "ran"
    pickled = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    for kind in ("application/x-npy", "application/octet-stream", "text/plain", "image/png", None):
        with pytest.raises(RequestError):
            inference.input_fn(b"\x93NUMPY\x01\x00" + pickled, kind)
        with pytest.raises(RequestError):
            inference.input_fn(base64.b64encode(pickled), kind)
    assert not mark.exists()


def test_nan_is_no_class(model: Model) -> None:
    images = inference.input_fn(JPEG, "image/jpeg")
    with pytest.raises(RequestError, match="nan") as error:
        inference.predict_fn(images, replace(model, engine=Nowhere()))
    assert error.value.status == 422


def test_a_body_is_not_changed_by_being_read(model: Model) -> None:
    body = bytearray(JPEG)
    inference.input_fn(body, "image/jpeg")
    assert body == JPEG


def test_an_engine_that_is_none_is_named_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEPMAKER_ENGINE", "onyx")
    with pytest.raises(ConfigError, match="SWEEPMAKER_ENGINE: 'onyx' is not allowed"):
        inference.model_fn(str(tmp_path))
