"""What a runtime is given and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrialSpec:
    """Everything about one attempt at a training job."""

    name: str
    ml: Path
    """The folder that the process finds at ``/opt/ml``, filled by `launchers.embedded.tree`."""
    hyperparameters: Mapping[str, str]
    environment: Mapping[str, str]
    """The request's Environment and what the service adds."""
    channels: Mapping[str, Mapping[str, Any]]
    """``inputdataconfig.json``."""
    instance_type: str
    checkpoint_path: str | None
    """As the process sees it: ``/opt/ml/checkpoints``."""
    image: str
    entrypoint: tuple[str, ...] | None
    """ContainerEntrypoint and ContainerArguments."""
    cores: tuple[int, ...]
    """Numbers of the cores that it may use."""
    threads: int
    gpus: tuple[str, ...]
    code: Path | None
    """The archive that ``sagemaker_submit_directory`` names in S3, as a file of this machine."""


class Handle(Protocol):
    """A trial's process, with all that it starts."""

    @property
    def pid(self) -> int | None:
        """Its process id, once it is known."""

    def wait(self, timeout: float) -> int | None:
        """The exit code (negative: ended by that signal) once it has ended, or None after ``timeout`` s.

        Where nobody can tell the code any more, raises `LostError`.
        """

    def terminate(self) -> None:
        """Ask it to end, as a container of its image hears SIGTERM."""

    def kill(self) -> None:
        """End it and every process that it started; returns when none is left."""


class LostError(Exception):
    """The process that watched over a trial was killed: its exit code is not known."""


class Runtime(Protocol):
    """One way to start trials."""

    name: str

    def start(self, spec: TrialSpec, log: Path) -> Handle:
        """Start the process; its output is appended to ``log``."""

    def close(self) -> None:
        """Give back what is kept between trials; trials that run are killed."""
