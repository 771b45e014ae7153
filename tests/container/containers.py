"""Containers for the tests: the tree around one, code to run in it, and processes started as AWS does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sweepmaker.container.overrides import STATIC_FILE, dump_static

CHECKOUT = Path(__file__).resolve().parents[2]
ENTRY = "src/sweepmaker/container/entry.py"
JOB = "job-1"
_TOOLKIT = CHECKOUT / ".venv-toolkit" / "bin" / "train"
_NO_CACHES = shutil.ignore_patterns("__pycache__")


def needs_toolkit() -> None:
    """Skip the test (in CI: fail the session) where AWS's toolkit has not been installed."""
    if not _TOOLKIT.exists():
        pytest.skip(f"{_TOOLKIT} is missing; make it with: make toolkit")


@dataclass
class Ended:
    """A process that has ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


class Container:
    """One container's tree, below a folder of a test.

    Args:
        base: what is ``/opt/ml`` on AWS.
        hyperparameters: as the job sends them.
        hosts: of the job; this is the first of them.
    """

    def __init__(
        self, base: Path, hyperparameters: Mapping[str, Any], hosts: Sequence[str] = ("algo-1",)
    ) -> None:
        self.base = base
        for folder in ("input/config", "input/data", "model", "output"):
            (base / folder).mkdir(parents=True)
        self.send(hyperparameters)
        self.write("inputdataconfig.json", {})
        self.be(hosts[0], hosts)

    def send(self, hyperparameters: Mapping[str, Any]) -> None:
        self.write("hyperparameters.json", hyperparameters)

    def be(self, host: str, hosts: Sequence[str]) -> None:
        self.write(
            "resourceconfig.json",
            {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"},
        )

    def write(self, name: str, content: object) -> None:
        (self.base / "input" / "config" / name).write_text(json.dumps(content))

    @property
    def run(self) -> Path:
        return self.base / "checkpoints" / JOB / "run"

    @property
    def failure(self) -> str | None:
        path = self.base / "output" / "failure"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def environment(self, **extra: str) -> dict[str, str]:
        env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "VIRTUAL_ENV"):
            env.pop(name, None)
        own = {"SAGEMAKER_BASE_DIR": str(self.base), "TRAINING_JOB_NAME": JOB}
        return env | own | extra

    def entry(self, code: Path, **extra: str) -> Ended:
        """What a SageMaker image does with ``sagemaker_program``, without AWS's toolkit."""
        return self._to_its_end([sys.executable, str(code / ENTRY), "--lr", "7"], **extra)

    def toolkit(self, **extra: str) -> Ended:
        """What a SageMaker image does, by AWS's own toolkit."""
        needs_toolkit()
        # 'algo-1' has no address here, and the toolkit would look for one for a quarter of an hour
        return self._to_its_end([str(_TOOLKIT)], SM_STUDIO_LOCAL_MODE="true", **extra)

    def image(self, code: Path, *arguments: str, **extra: str) -> subprocess.Popen[str]:
        """An image of our own with ``code`` in it, started and left running."""
        return subprocess.Popen(
            [sys.executable, "-m", "sweepmaker.container", *(arguments or ("train",))],
            cwd=self.base, env=self.environment(PYTHONPATH=str(code / "src"), **extra),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def _to_its_end(self, command: list[str], **extra: str) -> Ended:
        done = subprocess.run(
            command, cwd=self.base, env=self.environment(**extra), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=240,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for ``process``."""
    out, err = process.communicate(timeout=240)
    return Ended(process.returncode, out, err)


def code_with(
    folder: Path, script: str | None, overrides: Sequence[str] = (), channels: Mapping[str, str] | None = None
) -> Path:
    """A bundle's code in ``folder``: the checkout's, or with ``script`` for train.py only what starts it."""
    if script is None:
        shutil.copytree(CHECKOUT / "src", folder / "src", ignore=_NO_CACHES)
        shutil.copytree(CHECKOUT / "conf", folder / "conf", ignore=_NO_CACHES)
        shutil.copy(CHECKOUT / "train.py", folder)
    else:
        source, target = CHECKOUT / "src" / "sweepmaker", folder / "src" / "sweepmaker"
        for part in ("container", "config", "run"):
            shutil.copytree(source / part, target / part, ignore=_NO_CACHES)
        shutil.copy(source / "__init__.py", target)
        (folder / "train.py").write_text(script, encoding="utf-8")
    (folder / STATIC_FILE).write_bytes(dump_static(overrides, channels))
    return folder
