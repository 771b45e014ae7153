"""An artifact is whole, or there is one message that says what is wrong with it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run import untrusted
from sweepmaker.serving import inference
from sweepmaker.serving.artifact import open_artifact
from sweepmaker.serving.model import load
from tests.integration.runs import environment
from tests.serving.models import make_model, odd_images


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage, without the code, which nothing here reads."""
    shutil.copytree(whole, tmp_path / "model", ignore=shutil.ignore_patterns("code"))
    return tmp_path / "model"


def test_a_whole_one_is_read(whole: Path) -> None:
    artifact = open_artifact(whole)
    assert artifact.classes == ("cat", "dog", "owl")
    assert artifact.transform.image_size == 32 and artifact.transform.resize == 36
    assert artifact.versions["torch"] == torch.__version__.partition("+")[0]
    kept = load_file(whole / "model.safetensors")
    state = artifact.network().state_dict()
    assert all(torch.equal(state[name], value) for name, value in kept.items())


def test_one_of_before_there_was_a_digest_is_read(folder: Path) -> None:
    said = json.loads((folder / "model.json").read_text())
    del said["weights"]
    (folder / "model.json").write_text(json.dumps(said))
    assert load(folder, engine="plain").classes == ("cat", "dog", "owl")


@pytest.mark.slow
def test_its_code_is_what_awss_toolkit_imports(whole: Path) -> None:
    """``code/`` is on its path, and nothing else of this project is; no Lightning is loaded for it."""
    program = (
        "import sys, inference, sweepmaker\n"
        "assert sweepmaker.__file__.startswith(sys.path[0]), sweepmaker.__file__\n"
        "model = inference.model_fn(sys.argv[1])\n"
        "images = inference.input_fn(open(sys.argv[2], 'rb').read(), 'image/png')\n"
        "print(inference.output_fn(inference.predict_fn(images, model), 'text/plain')[0].decode())\n"
        "assert 'lightning' not in sys.modules"
    )
    image = whole.parent / "image.png"
    image.write_bytes(odd_images()["png"])
    words = ["-c", f"import sys; sys.path[:0] = [{str(whole / 'code')!r}]\n{program}"]
    done = subprocess.run(
        [sys.executable, *words, whole, image], capture_output=True, text=True, cwd=whole.parent,
        env=environment(SWEEPMAKER_ENGINE="eager"),
    )  # fmt: skip
    assert done.stdout.strip() in ("0", "1", "2"), done.stderr
    assert done.stderr == "engine = eager  (asked for)\n"


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5"])
def test_a_wrong_variable_is_one_message(value: str, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPMAKER_THREADS", value)
    with pytest.raises(ConfigError, match=r"SWEEPMAKER_THREADS: .*is not allowed"):
        inference.model_fn(str(whole))


def say(**changes: Any) -> Callable[[Path], None]:
    """Change ``model.json``: ``transform__std`` is what is below."""

    def change(folder: Path) -> None:
        said = json.loads((folder / "model.json").read_text())
        for path, value in changes.items():
            *above, last = path.split("__")
            node = said
            for part in above:
                node = node[part]
            node[last] = value
        (folder / "model.json").write_text(json.dumps(said))

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return change


def flip(folder: Path) -> None:
    """One bit, in the last weights."""
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def cut(folder: Path) -> None:
    say(weights=None)(folder)
    os.truncate(folder / "model.safetensors", 1000)


def reweighed(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    """Other weights, whose digest is not known."""

    def rewrite(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors")
        say(weights=None)(folder)

    return rewrite


LAST = "classifier.3.weight"
DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (lambda folder: shutil.rmtree(folder), "is no folder"),
    (lambda folder: (folder / "model.json").unlink(), "has no model.json"),
    (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors"),
    (write("model.json", b""), "model.json cannot be read"),
    (write("model.json", b"\xff\xfe\x00"), "model.json cannot be read"),
    (write("model.json", b"[" * 100_000), "model.json cannot be read"),
    (write("model.json", b"[]"), "is not the JSON object"),
    (write("model.json", b"x" * (17 * 2**20)), "larger than"),
    (say(schema=2), "has schema 2, this version reads 1"),
    (say(classes="cat"), "classes is not a list of names"),
    (say(classes=["cat"]), "classes has one name"),
    (say(classes=["cat", "dog"]), "2 classes are named, its network tells 3 apart"),
    (say(classes=["cat", "dog"], architecture__num_classes=2), f"has [3, 1024] for {LAST}"),
    (say(transform=None), "transform_spec()"),
    (say(transform="resize"), "transform is not an object"),
    (say(transform__image_size="32"), "transform.image_size is not a whole number"),
    (say(transform__image_size=10**9), "transform.image_size is not a whole number"),
    (say(transform__resize=8), "transform.resize is below"),
    (say(transform__interpolation="bilinear"), "transform.interpolation is not 'bicubic'"),
    (say(transform__antialias=False), "transform.antialias is not True"),
    (say(transform__mean=[0.5]), "transform.mean is not three numbers"),
    (say(transform__std=[0.5, 0.5, 0]), "transform.std is not above 0"),
    (say(transform__std=[0.5, 0.5, float("nan")]), "transform.std is not three numbers"),
    (say(architecture=3), "architecture is not an object"),
    (say(architecture__name=3), "are not texts"),
    (say(architecture__name="mobilenet_v9"), "has no classifier called 'mobilenet_v9'"),
    (say(architecture__library="keras"), "no model library is called 'keras'"),
    (say(architecture__name="resnet18"), "is of another network than model.json describes"),
    (say(architecture__dropout="much"), "cannot be built"),
    (say(weights={"sha256": "0" * 64}), "its SHA-256 differs"),
    (flip, "its SHA-256 differs"),
    (cut, "model.safetensors is damaged"),
    (write("model.safetensors", b"\x80\x04pickle"), "its SHA-256 differs"),
    (reweighed(lambda weights: weights.pop(LAST)), "1 weights are missing"),
    (reweighed(lambda weights: weights.update(more=torch.zeros(1))), "1 unknown (more"),
    (reweighed(lambda weights: weights[LAST].fill_(float("nan"))), f"{LAST} holds nan or inf"),
    (reweighed(lambda weights: weights.update({LAST: torch.zeros(3, 7)})), f"has [3, 7] for {LAST}"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE, ids=[words for _, words in DAMAGE])
def test_damage_is_one_message(damage: Callable[[Path], None], words: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(UserError) as error:
        load(folder, engine="plain")
    assert words in str(error.value)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_link_out_of_the_folder_is_not_followed(name: str, folder: Path) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    with pytest.raises(UserError, match=f"{name} is a link, which is not followed"):
        load(folder, engine="plain")


def test_weights_that_the_disk_does_not_give_are_one_message(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = untrusted.open_inside

    def open_inside(place: Path, name: str) -> Any:
        if name == "model.safetensors":
            raise OSError(errno.EIO, "Input/output error")
        return opened(place, name)

    monkeypatch.setattr(untrusted, "open_inside", open_inside)
    with pytest.raises(UserError, match=r"model\.safetensors cannot be read: Input/output error"):
        load(folder, engine="plain")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        (
            *("schema", "architecture", "classes", "transform", "weights", "versions"),
            *(f"transform__{name}" for name in ("image_size", "resize", "mean", "std")),
            *(f"architecture__{name}" for name in ("library", "name", "num_classes", "dropout")),
        )
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
)
def test_any_description_is_read_or_refused(whole: Path, tmp_path: Path, path: str, value: Any) -> None:
    folder = tmp_path / "model"
    folder.mkdir(exist_ok=True)
    shutil.copy(whole / "model.json", folder)
    if not (folder / "model.safetensors").exists():
        (folder / "model.safetensors").hardlink_to(whole / "model.safetensors")
    say(**{path: value})(folder)
    try:
        open_artifact(folder)._built()
    except UserError as error:
        assert str(folder) in str(error)
