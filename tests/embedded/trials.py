"""Trials for the tests of the runtimes: a folder, a script, a process."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from launchers.embedded import tree
from launchers.embedded.runtimes.handle import GuardHandle
from launchers.embedded.runtimes.spec import Handle, Runtime, TrialSpec

CHECKOUT = Path(__file__).resolve().parents[2]
DEADLINE_S = 120.0


@dataclass
class Trial:
    """One trial below ``folder``."""

    folder: Path
    script: str | None = "print('hello')\n"
    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    channels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()

    @property
    def ml(self) -> Path:
        return self.folder / "ml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def text(self) -> str:
        return self.log.read_text()

    @property
    def failure(self) -> str | None:
        path = self.ml / "output" / "failure"
        return path.read_text() if path.exists() else None

    def spec(self) -> TrialSpec:
        hyperparameters, code = dict(self.hyperparameters), None
        if self.script is not None:
            code = self.folder / "source.tar.gz"
            pack(code, {"train.py": self.script, **self.files})
            hyperparameters |= {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": "s3://bucket/source.tar.gz",
            }
        return TrialSpec(
            name=self.folder.name,
            ml=self.ml,
            hyperparameters=hyperparameters,
            environment={"TRAINING_JOB_NAME": self.folder.name, **self.environment},
            channels=self.channels,
            instance_type="ml.m5.large",
            checkpoint_path="/opt/ml/checkpoints",
            image="image",
            entrypoint=self.entrypoint,
            cores=(sorted(os.sched_getaffinity(0))[0],),
            threads=self.threads,
            gpus=self.gpus,
            code=code,
        )

    def start(self, runtime: Runtime) -> Handle:
        self.folder.mkdir(parents=True, exist_ok=True)
        spec = self.spec()
        tree.write(self.ml, job=spec)
        return runtime.start(spec, self.log)

    def run(self, runtime: Runtime) -> int:
        """To its end; the exit code."""
        handle = self.start(runtime)
        try:
            code = handle.wait(DEADLINE_S)
        finally:
            handle.kill()
        assert code is not None, self.text
        return code


def pack(archive: Path, files: Mapping[str, str]) -> None:
    """A source bundle with these files."""
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            tar.addfile(member, io.BytesIO(text.encode()))


def at_work(trial: Trial, runtime: Runtime) -> GuardHandle:
    """Started, and its script (which prints "started") at work."""
    handle = trial.start(runtime)
    assert isinstance(handle, GuardHandle)
    eventually(lambda: "started" in trial.text, "the script prints")
    return handle


def eventually(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether no process of that number runs."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
