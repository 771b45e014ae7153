"""AWS's real smdebug beside the rules, in its own environment (make smdebug); and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from torch import nn

from sweepmaker.callbacks.ema import AveragedWeights
from sweepmaker.config.errors import ConfigError
from sweepmaker.debugger.smdebug import SmdebugHook, network_of, refuse
from tests.debugger.networks import Net, adam, conv_net
from tests.integration.runs import CHECKOUT, TINY, environment, train

PYTHON = CHECKOUT / ".venv-smdebug" / "bin" / "python"
READ = """
import json, sys
from smdebug.trials import create_trial
trial = create_trial(sys.argv[1])
losses = {name: {step: float(trial.tensor(name).value(step)) for step in trial.tensor(name).steps()}
          for name in trial.tensor_names(collection="losses")}
gradients = trial.tensor_names(collection="gradients")
modes = [str(mode) for mode in trial.modes()]
print(json.dumps({"losses": losses, "gradients": len(gradients), "modes": modes,
                  "size": float(abs(trial.tensor(gradients[0]).value(0)).mean())}))
"""


@pytest.mark.slow
def test_its_own_reader_reads_what_was_written(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; make it with: make smdebug")
    folder = tmp_path / "run"
    settings = ["epochs=2", "debugger.smdebug=true", f"hydra.run.dir={folder}"]
    done = subprocess.run(
        [PYTHON, CHECKOUT / "train.py", *TINY, *settings],
        env=environment(), capture_output=True, text=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("[metric] ") for line in done.stdout.splitlines()), "its log goes elsewhere"
    assert "INFO" not in done.stderr
    read = subprocess.run(
        [PYTHON, "-c", READ, folder / "debugger" / "smdebug"], env=environment(SMDEBUG_LOG_LEVEL="error"),
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(read.stdout.splitlines()[-1])
    assert set(told["losses"]) == {"train_loss_output_0", "valid_loss_output_0"}
    assert (
        len(told["losses"]["train_loss_output_0"]) == 32 and len(told["losses"]["valid_loss_output_0"]) == 2
    )
    assert told["gradients"] > 100 and told["size"] > 0
    assert sorted(told["modes"]) == ["ModeKeys.EVAL", "ModeKeys.TRAIN"]
    assert (folder / "debugger" / "findings.json").exists(), "the rules run beside it"
    assert (folder / "model" / "model.safetensors").exists()


@pytest.mark.slow
def test_the_file_that_sagemaker_writes_decides(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; make it with: make smdebug")
    out, config = tmp_path / "tensors", tmp_path / "debughookconfig.json"
    asked = [
        {"CollectionName": "losses", "CollectionParameters": {"train.save_interval": "1"}},
        {"CollectionName": "gradients", "CollectionParameters": {"save_interval": "5"}},
    ]
    config.write_text(json.dumps({"LocalPath": str(out), "CollectionConfigurations": asked}))
    settings = ["epochs=1", "test=false", "debugger.smdebug=true", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run(
        [PYTHON, CHECKOUT / "train.py", *TINY, *settings], capture_output=True, text=True, timeout=200,
        env=environment(SMDEBUG_CONFIG_FILE_PATH=str(config)), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run" / "debugger" / "smdebug").exists()
    read = subprocess.run(
        [PYTHON, "-c", READ, out], env=environment(SMDEBUG_LOG_LEVEL="error"),
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(read.stdout.splitlines()[-1])
    assert len(told["losses"]["train_loss_output_0"]) == 16 and told["gradients"] > 100


@pytest.mark.slow
def test_two_processes_write_into_one_folder(tmp_path: Path) -> None:
    if not PYTHON.exists():
        pytest.skip(f"{PYTHON} is missing; make it with: make smdebug")
    settings = [
        "epochs=1",
        "test=false",
        "debugger.smdebug=true",
        "trainer.devices=2",
        "+trainer.strategy=ddp",
    ]
    done = subprocess.run(
        [PYTHON, CHECKOUT / "train.py", *TINY, *settings, f"hydra.run.dir={tmp_path / 'run'}"],
        env=environment(), capture_output=True, text=True, timeout=200, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run" / "debugger"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"smdebug"}
    workers = {path.name.partition("_")[2] for path in (folder / "smdebug" / "events").rglob("*.tfevents")}
    assert workers == {"worker_0.tfevents"}
    assert (folder / "smdebug" / "training_job_end.ts").exists()


def test_without_it_the_run_does_not_begin(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ended = train(*TINY, "debugger.smdebug=true", f"hydra.run.dir={folder}")
    assert ended.code == 2
    assert "debugger.smdebug: smdebug cannot" in ended.err and "fix: debugger.smdebug=false" in ended.err


class EMAWeightAveraging(Callback):
    """Stands for Lightning's."""


def trainer(**options: Any) -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, **options)


def two_networks() -> Net:
    module = Net(conv_net(), adam())
    module.other = nn.Linear(2, 2)
    return module


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda: Net(torch.compile(conv_net()), adam()), {}, "compiled network"),  # type: ignore[arg-type]
        (lambda: Net(conv_net(), adam()), {"precision": "bf16-true"}, "cannot save bfloat16"),
        (lambda: Net(conv_net(), adam()), {"callbacks": [EMAWeightAveraging()]}, "EMAWeightAveraging"),
        (lambda: Net(conv_net(), adam()), {"callbacks": [AveragedWeights()]}, "AveragedWeights"),
        (two_networks, {}, "the module has 2: network, other"),
    ],
)
def test_what_it_would_break_is_refused(make: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        refuse(trainer(**options), make())
    assert "debugger.smdebug=false" in str(caught.value)


@pytest.mark.parametrize(
    ("collections", "precision", "refused"),
    [
        (["losses", "gradients"], "bf16-mixed", False),
        (["losses", "relu_output"], "bf16-mixed", True),
        (["losses", "relu_output"], "32-true", False),
    ],
)
def test_a_configuration_that_asks_for_bfloat16_is_refused(
    collections: list[str], precision: str, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hook.json").write_text("{}")
    monkeypatch.setenv("SMDEBUG_CONFIG_FILE_PATH", str(tmp_path / "hook.json"))
    made: Any = SmdebugHook.__new__(SmdebugHook)
    hook = SimpleNamespace(include_collections=collections)
    made._smd = SimpleNamespace(Hook=SimpleNamespace(create_from_json_file=lambda path: hook))
    if refused:
        with pytest.raises(ConfigError, match=r"bfloat16 activations, and .* asks for relu_output"):
            made._make(trainer(precision=precision))
    else:
        assert made._make(trainer(precision=precision)) is hook


def test_the_network_is_registered_and_never_the_module() -> None:
    module = Net(conv_net(), adam())
    module.criterion = nn.CrossEntropyLoss()
    assert network_of(module) is module.network
    refuse(trainer(), module)
    assert sys.modules.get("smdebug") is None


class Hook:
    """Stands for smdebug's, which this environment cannot have."""

    def __init__(self, out_dir: Path) -> None:
        self.out_dir = str(out_dir)
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_a_run_that_fails_closes_the_hook_too(tmp_path: Path) -> None:
    module = Net(conv_net(), adam())
    hook, made = Hook(tmp_path), SmdebugHook.__new__(SmdebugHook)
    made._hook, made._network = hook, module.network
    made.on_exception(trainer(), module, RuntimeError("no memory"))
    made.teardown(trainer(), module, "fit")
    assert hook.closed == 1
    assert (tmp_path / "training_job_end.ts").exists(), "readers wait for it"
