"""The tree that SageMaker puts around a training container, and the run folder inside it."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sweepmaker.config.errors import ConfigError
from sweepmaker.container.overrides import read_object

_OPT_ML = PurePosixPath("/opt/ml")
# CreateTrainingJob, TrainingJobName
_JOB_NAME = re.compile(r"[a-zA-Z0-9](?:-*[a-zA-Z0-9]){0,62}")


@dataclass(frozen=True)
class Folders:
    """Where things are; ``base`` is ``/opt/ml`` unless SAGEMAKER_BASE_DIR puts the tree elsewhere."""

    base: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Folders:
        """As AWS's toolkit finds them; an empty variable counts as none."""
        # not resolved: /opt/ml may be a link, and everybody else writes it as it is
        return cls(Path(environment.get("SAGEMAKER_BASE_DIR") or _OPT_ML).absolute())

    @property
    def hyperparameters(self) -> Path:
        return self.base / "input" / "config" / "hyperparameters.json"

    @property
    def resources(self) -> Path:
        return self.base / "input" / "config" / "resourceconfig.json"

    @property
    def model(self) -> Path:
        """What becomes ``model.tar.gz``."""
        return self.base / "model"

    @property
    def output_data(self) -> Path:
        """What becomes ``output.tar.gz``."""
        return self.base / "output" / "data"

    @property
    def failure(self) -> Path:
        """The file whose first 1024 characters become the job's FailureReason."""
        return self.base / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        """The folder that is kept in S3 while the job runs and is back after a spot interruption.

        Raises:
            ConfigError: the platform's file about it is damaged.
        """
        path = self.base / "input" / "config" / "checkpointconfig.json"
        configured = read_object(path).get("LocalPath") if path.is_file() else None
        if isinstance(configured, str) and configured.startswith("/"):
            return self.local(configured)
        return self.base / "checkpoints"

    def local(self, path: str) -> Path:
        """A path as the service knows it (``/opt/ml/...``) in this tree; any other as it is."""
        given = PurePosixPath(os.path.normpath(path))
        if given.is_relative_to(_OPT_ML):
            return self.base / given.relative_to(_OPT_ML)
        return Path(given)

    def channel(self, name: str) -> Path:
        """The folder of an input channel.

        Raises:
            ConfigError: the job has no such channel.
        """
        data = self.base / "input" / "data"
        folder = data / name
        if not folder.is_dir():
            there = sorted(path.name for path in data.iterdir()) if data.is_dir() else []
            raise ConfigError(
                f"the job has no input channel {name!r}: {folder} is missing",
                key=f"job.channels.{name}",
                allowed=", ".join(there) or None,
            )
        return folder

    def run(self, environment: Mapping[str, str]) -> Path:
        """The run folder, made: under the checkpoints, so that a job started again finds it.

        A job's name is part of it: trials of one tuning job may share a checkpoint prefix.

        Raises:
            ConfigError: TRAINING_JOB_NAME is no name of a job.
        """
        name = environment.get("TRAINING_JOB_NAME", "")
        if name and not _JOB_NAME.fullmatch(name):
            raise ConfigError(f"no name of a training job: {ascii(name)[:80]}", key="TRAINING_JOB_NAME")
        folder = self.checkpoints / name / "run"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not os.access(folder, os.W_OK):
                raise PermissionError(f"{folder} is read-only")
        except OSError as error:
            folder = Path(tempfile.mkdtemp(prefix="sweepmaker-run-"))
            print(f"no checkpoints ({error}): started again, this job begins anew", file=sys.stderr)
        return folder
