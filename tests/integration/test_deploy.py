"""Command lines of ``deploy.py`` on this machine: the real script over models that real runs left."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import class_tree, photo
from tests.integration.runs import CHECKOUT, environment, metrics, script, train
from tests.serving.models import make_model, odd_images

MISTAKES = [
    ("", ["run: is needed: whose model?", "run=best"]),
    ("action=serv run=x", ["action: 'serv' is unknown", "serve, predict, deploy, list", "fix: action=serve"]),
    ("run=nowhere", ["run: there is no folder and no job nowhere", "a sweep's folder"]),
    ("run=.", ["there is no run in ."]),
    ("enginee=onnx", ["enginee: there is no such key; did you mean engine?"]),
    ("limits.pixel=3", ["limits.pixel: there is no such key; did you mean limits.pixels?"]),
    ("endpoint.serverless.memory=1", ["did you mean endpoint.serverless.memory_mb?"]),
    ("where.regio=x", ["did you mean where.region?"]),
    ("where=elsewhere", ["where: there is no 'elsewhere'", "embedded, sagemaker"]),
    ("experiment=b2", ["experiment: there is no such key"]),
    ("engine=onyx run=x", ["engine: 'onyx' is not allowed", "fix: engine=onnx"]),
    ("threads=0 run=x", ["threads: 0 is not allowed", "a whole number from 1"]),
    ("action=predict run=x", ["images: is needed", "images=FOLDER"]),
    ("runs=a,b", ["'runs=[a,b]'"]),
    ("run=a=b", ["""fix: 'run="a=b"'"""]),
    ("here", ["""python deploy.py 'run="here"' ..."""]),
    ("-m run=x", ["takes no -m"]),
]


@pytest.mark.parametrize(("command", "words"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_answered_without_torch(command: str, words: list[str], tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text(
        "raise RuntimeError('torch was imported before the config was checked')"
    )
    (tmp_path / "here").mkdir()
    before = sorted(tmp_path.rglob("*"))
    ended = script("deploy.py", *shlex.split(command), cwd=tmp_path, PYTHONPATH=str(tmp_path),
                   PYTHONDONTWRITEBYTECODE="1")  # fmt: skip
    assert (ended.code, ended.out) == (2, ""), ended.err
    assert ended.err.startswith("error: ") and "Traceback" not in ended.err
    for word in words:
        assert word in ended.err
    assert sorted(path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts) == before


def test_a_broken_model_is_one_message(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    (folder / "model.safetensors").write_bytes(b"nothing")
    (tmp_path / "x.jpg").write_bytes(odd_images()["jpeg"])
    ended = script("deploy.py", "action=predict", "run=model", "images=x.jpg", cwd=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("error: ") and "Traceback" not in ended.err
    assert "its SHA-256 differs" in ended.err
    assert not (tmp_path / "predictions.csv").exists()


def dogs(root: Path) -> Path:
    """Class folders whose classes can be told apart, by their tint, with odd files among them."""
    tints = {"corgi": (220, 120, 60), "husky": (60, 90, 220), "poodle": (90, 220, 90)}
    for split, count in (("train", 8), ("valid", 4), ("test", 5)):
        for number, (name, tint) in enumerate(tints.items()):
            folder = root / split / name
            folder.mkdir(parents=True)
            for image in range(count):
                noise = np.asarray(photo(100 * number + image + len(split), (48, 40)), dtype=np.float32)
                mixed = (0.5 * noise + 0.5 * np.array(tint)).astype(np.uint8)
                Image.fromarray(mixed).save(folder / f"{image}.jpg", quality=92)
    for number, (name, content) in enumerate(odd_images().items()):
        (root / "test" / ("corgi", "husky", "poodle")[number % 3] / f"{name}.png").write_bytes(content)
    return root


@pytest.mark.slow
def test_predictions_are_those_of_the_run_on_every_image(tmp_path: Path) -> None:
    """What train.py measured on its test split is what the CSV says, file by file."""
    dogs(tmp_path / "images")
    ended = train("data=folder", "data.root=images", "batch_size=8", "epochs=3", "lr=3e-3", "image_size=32",
                  "model.name=mobilenet_v3_small", "model.weights=none", "hydra.run.dir=run",
                  cwd=tmp_path)  # fmt: skip
    assert ended.code == 0, ended.err
    measured = next(
        float(row["test/top1"]) for row in reversed(metrics(tmp_path / "run")) if row["test/top1"]
    )
    for engine in ("plain", "auto"):
        done = script("deploy.py", "action=predict", "run=run", "images=images/test", f"output={engine}.csv",
                      f"engine={engine}", cwd=tmp_path)  # fmt: skip
        assert done.code == 0, done.err
        with (tmp_path / f"{engine}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        right = [Path(row["file"]).parent.name == row["label"] for row in rows]
        assert len(rows) == 15 + len(odd_images()) and not any(row["error"] for row in rows)
        assert sum(right) / len(right) == pytest.approx(measured, abs=1e-6)
        assert 0.2 < measured < 1
    confusion = list(csv.reader((tmp_path / "run" / "confusion_test.csv").open()))
    for number, name in enumerate(confusion[0][1:]):
        assert sum(row["label"] == name for row in rows) == sum(
            int(line[number + 1]) for line in confusion[1:]
        )


OWN_NET = '''
import torch
from lightning.pytorch import LightningModule
from own.layers import scale


class Net(LightningModule):
    """Learns nothing; logits are how red, green and blue an image is."""

    def __init__(self, width, num_classes, optimizer=None):
        super().__init__()
        self.save_hyperparameters(ignore="optimizer")
        self.layer = torch.nn.Linear(3, num_classes)
        torch.nn.init.eye_(self.layer.weight)
        self.anything = torch.nn.Parameter(torch.zeros(width))

    def forward(self, images):
        return scale(self.layer(images.mean(dim=(2, 3))))

    def training_step(self, batch, index):
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1]) + self.anything.sum() * 0

    def validation_step(self, batch, index):
        self.log("right", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)
'''


@pytest.mark.slow
def test_a_module_of_the_users_own_is_served_from_the_code_beside_its_weights(tmp_path: Path) -> None:
    """Trained in one place, served where its package is not."""
    there = tmp_path / "there"
    class_tree(there / "images", ("a", "b", "c"))
    (there / "own").mkdir()
    (there / "own" / "__init__.py").write_text("")
    (there / "own" / "layers.py").write_text("def scale(logits):\n    return logits * 10\n")
    (there / "own" / "net.py").write_text(OWN_NET)
    ended = train("model=own", "model._target_=own.net.Net", "+model.width=4", "data=folder",
                  "data.root=images",
                  "image_size=16", "batch_size=4", "epochs=1", "objective.name=right", "test=false",
                  "data.stats={mean:[0.5,0.5,0.5],std:[0.5,0.5,0.5]}", "hydra.run.dir=run", cwd=there,
                  PYTHONPATH=str(there))  # fmt: skip
    assert ended.code == 0, ended.err
    here = tmp_path / "here"
    (here / "images").mkdir(parents=True)
    shutil.move(there / "run" / "model", here / "model")
    shutil.rmtree(there)
    for name, tint in {"0": (250, 10, 10), "1": (10, 250, 10), "2": (10, 10, 250)}.items():
        Image.new("RGB", (20, 20), tint).save(here / "images" / f"{name}.png")
    done = script("deploy.py", "action=predict", "run=model", "images=images", cwd=here)
    assert done.code == 0, done.err
    with (here / "predictions.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["a", "b", "c"]
    (here / "model" / "code" / "own" / "layers.py").unlink()
    done = script("deploy.py", "action=predict", "run=model", "images=images", cwd=here)
    assert done.code == 1 and "Traceback" not in done.err
    assert "own.net.Net cannot be imported from" in done.err and "own.layers" in done.err


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_csv(tmp_path: Path) -> None:
    make_model(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(3000):
        (tmp_path / "images" / f"{number}.png").write_bytes(odd_images()["palette"]) if number == 0 else (
            tmp_path / "images" / f"{number}.png"
        ).hardlink_to(tmp_path / "images" / "0.png")
    words = ["action=predict", "run=model", "images=images", "engine=plain", "workers=1"]
    process = subprocess.Popen(
        [sys.executable, str(CHECKOUT / "deploy.py"), *words], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("workers = ") or line.startswith("engine = "):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, ""), err
    assert "Traceback" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "model"]


def test_json_of_the_handler_is_what_the_documentation_shows() -> None:
    """The example in docs/serving.md has the keys that answers have."""
    text = (CHECKOUT / "docs" / "serving.md").read_text()
    shown = text.split("```json\n")[1].split("```")[0]
    assert [*json.loads(shown)] == ["class", "label", "probability", "top"]
