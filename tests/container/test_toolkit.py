"""Trials as AWS's images start them: by the real ``sagemaker-training``, around the real ``train.py``."""

from __future__ import annotations

import json
import shutil
import socket
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from tests.container.cells import CELLS
from tests.container.containers import CHECKOUT, ENTRY, Container, Ended, code_with, ended
from tests.integration.runs import TINY

pytestmark = pytest.mark.slow

# What an image of AWS's for PyTorch presets.
PYTORCH = {"SAGEMAKER_TRAINING_MODULE": "sagemaker_pytorch_container.training:main"}
# Composes and tells; importing torch for each of the cells would take minutes.
COMPOSE = """
import json
import hydra
from omegaconf import OmegaConf

@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg):
    print("CONFIG" + json.dumps(OmegaConf.to_yaml(cfg)))

main()
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return code_with(tmp_path_factory.mktemp("code"), None, [*TINY, "epochs=1", "trainer=cpu"])


@pytest.fixture(scope="module")
def composing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    code = code_with(tmp_path_factory.mktemp("composing"), COMPOSE, ["+custom.first='a b'", "seed=3"])
    shutil.copytree(CHECKOUT / "conf", code / "conf")
    return code


def sent(code: Path, hyperparameters: dict[str, str]) -> dict[str, str]:
    """As a tuning job for an image of AWS's sends them."""
    return {
        **hyperparameters,
        "sagemaker_program": ENTRY,
        "sagemaker_submit_directory": str(code),
        "_tuning_objective_metric": "valid/top1_best",
    }


def archived(code: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for part in sorted(code.iterdir()):
            tar.add(part, part.name)
    return path


@pytest.mark.parametrize("image", [{}, PYTORCH], ids=["plain", "pytorch"])
def test_a_trial_leaves_what_a_job_collects(code: Path, tmp_path: Path, image: dict[str, str]) -> None:
    archive = archived(code, tmp_path / "sourcedir.tar.gz")
    container = Container(tmp_path / "ml", sent(archive, {"lr": "0.01", "+custom.note": "'x, y'"}))
    done = container.toolkit(**image)
    assert done.code == 0, done.err
    output = container.base / "output"
    assert (output / "success").exists() and container.failure is None
    assert "[metric] valid/top1_best=" in done.out
    assert (container.base / "model" / "model.safetensors").exists()
    assert (container.base / "model" / "code" / "sweepmaker" / "container" / "entry.py").exists()
    record = json.loads((output / "data" / "run.json").read_text())
    assert record["state"] == "completed"
    assert record["overrides"][-2:] == ["+custom.note='x, y'", "lr=0.01"]
    assert (output / "data" / "metrics.csv").exists() and (
        output / "data" / ".hydra" / "config.yaml"
    ).exists()
    assert (container.run / "checkpoints" / "last.ckpt").exists()
    assert not (output / "data" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({"lrr": "0.1"}, "ConfigError: lrr: there is no such key"),
        ({"batch_size": "-1"}, "ConfigError: batch_size: "),
        ({"data": "folder", "data.root": "/nowhere"}, "ConfigError: data.root: "),
        ({"trainer.max_steps": "1"}, "ConfigError: trainer.max_steps: "),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else None,
)
def test_a_mistake_is_the_first_that_the_job_tells(
    code: Path, tmp_path: Path, hyperparameters: dict[str, str], expected: str
) -> None:
    container = Container(tmp_path / "ml", sent(code, hyperparameters))
    done = container.toolkit(**PYTORCH)
    assert done.code == 1
    assert container.failure is not None and container.failure.startswith(expected)
    assert len(container.failure) <= 1024
    assert not (container.base / "output" / "success").exists()


def test_an_image_without_lightning_says_what_to_do(code: Path, tmp_path: Path) -> None:
    own = tmp_path / "code"
    shutil.copytree(code, own)
    (own / "src" / "lightning").mkdir()
    (own / "src" / "lightning" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'lightning'\")"
    )
    container = Container(tmp_path / "ml", sent(own, {}))
    assert container.toolkit().code == 1
    assert container.failure is not None
    first, second, *_ = container.failure.splitlines()
    assert first == "ModuleNotFoundError: No module named 'lightning'"
    assert "job.packages=index" in second
    assert (container.base / "output" / "data" / "run.json").exists()


@pytest.mark.timeout(1800)
def test_awkward_cells_arrive_as_they_were_sent(composing: Path, tmp_path: Path) -> None:
    assert len(CELLS) >= 70

    def there(number: int) -> Ended:
        container = Container(tmp_path / str(number), sent(composing, dict([CELLS[number]])))
        return container.toolkit()

    with ThreadPoolExecutor(2) as pool:
        trials = list(pool.map(there, range(len(CELLS))))
    wrong = {}
    with initialize_config_dir(str(CHECKOUT / "conf"), version_base="1.3"):
        for (name, text), trial in zip(CELLS, trials, strict=True):
            here = compose("train", ["+custom.first='a b'", "seed=3", f"{name}={text}"])
            told = [line for line in trial.out.splitlines() if line.startswith("CONFIG")]
            if not told or json.loads(told[0].removeprefix("CONFIG")) != OmegaConf.to_yaml(here):
                wrong[f"{name}={text}"] = trial.err[-1000:]
    assert wrong == {}


def test_a_stopped_trial_saves_and_goes_on_when_started_again(tmp_path: Path) -> None:
    """An image of our own: stopped as AWS stops it, then started again as after a spot interruption."""
    code = code_with(tmp_path / "code", None, [*TINY, "epochs=4", "trainer=cpu"])
    container = Container(tmp_path / "ml", {"lr": "0.01"})
    channel = container.base / "input" / "data" / "code"
    channel.mkdir()
    archived(code, channel / "sourcedir.tar.gz")
    with container.image(CHECKOUT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("[metric] valid/top1_best"):
                process.terminate()
    assert process.returncode == 0
    assert container.failure is None
    assert (container.run / "checkpoints" / "last.ckpt").exists()
    kept = container.base / "output" / "data" / "run.json"
    assert json.loads(kept.read_text())["state"] == "interrupted"
    again = ended(container.image(CHECKOUT))
    assert again.code == 0, again.err
    assert "continuing from last.ckpt" in again.err
    assert json.loads(kept.read_text())["state"] == "completed"
    assert (container.base / "model" / "model.safetensors").exists()


def test_processes_of_one_machine_share_the_run(tmp_path: Path) -> None:
    """Lightning starts the second one itself, from the command line that the entry left."""
    overrides = [*TINY, "epochs=1", "trainer=ddp", "trainer.accelerator=cpu"]
    code = code_with(tmp_path / "code", None, overrides)
    container = Container(tmp_path / "ml", sent(code, {"lr": "0.01", "+custom.note": "'x, y'"}))
    done = container.toolkit()
    assert done.code == 0, done.err
    assert done.out.count("[metric] valid/top1_best=") == 1
    assert "epoch=0 step=8;" in done.out  # half of the 16 batches each
    assert json.loads((container.base / "output/data/run.json").read_text())["state"] == "completed"


def test_two_machines_share_the_run(tmp_path: Path) -> None:
    code = code_with(tmp_path / "code", None, [*TINY, "epochs=1", "trainer=cpu"])
    names = ["127.0.0.1", "127.0.0.2"]
    machines = []
    for name in names:
        container = Container(tmp_path / name, sent(code, {"lr": "0.01"}), names)
        container.be(name, names)
        machines.append(container)
    port = free_port()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda machine: machine.toolkit(MASTER_PORT=port), machines)
    assert first.code == 0, first.err
    assert second.code == 0, second.err
    assert "[metric] valid/top1_best=" in first.out and "[metric]" not in second.out
    assert "epoch=0 step=8;" in first.out
    assert (machines[0].base / "model" / "model.safetensors").exists()
    assert list((machines[1].base / "model").iterdir()) == []
    assert not (machines[1].run / "run.json").exists()


def free_port() -> str:
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])
