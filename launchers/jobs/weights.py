"""Weights on this machine that a job starts from: they travel as a channel of their own."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from launchers.aws.storage import Upload
from launchers.jobs.plan import megabytes
from sweepmaker.config.errors import ConfigError

_SAFE = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".json")


@dataclass(frozen=True)
class Weights:
    """The files of ``model.weights``; none where it is a name.

    Attributes:
        path: file or folder.
        files: with their sha256 as hex digits.
    """

    path: Path | None = None
    files: tuple[tuple[Path, str], ...] = ()

    @property
    def _digest(self) -> str:
        listing = "".join(f"{file.name} {digest}\n" for file, digest in self.files)
        return hashlib.sha256(listing.encode()).hexdigest()[:32]

    def uploads(self, prefix: str) -> list[Upload]:
        """The objects to put."""
        folder = f"{prefix.strip('/')}/weights/{self._digest}"
        return [
            Upload(f"{folder}/{file.name}", file, file.stat().st_size, f"weights ({file.name})", digest)
            for file, digest in self.files
        ]

    def channel(self, root: str) -> dict[str, str]:
        """The channel and its place below ``root``."""
        return {"weights": f"{root}/weights/{self._digest}/"} if self.files else {}

    def key(self) -> dict[str, str]:
        """The channel and the config key that names its folder, or its file."""
        if self.path is None:
            return {}
        return {"weights": "model.weights" + ("" if self.path.is_dir() else f"={self.path.name}")}

    def lines(self) -> list[str]:
        """For the summary."""
        return [f"weights {file.name}, {megabytes(file.stat().st_size)}" for file, _ in self.files]


def find(trial: DictConfig) -> Weights:
    """The weights that ``model.weights`` names by a path.

    Raises:
        ConfigError: the folder has no weights in it.
    """
    given = OmegaConf.select(trial, "model.weights")
    if not isinstance(given, str) or not Path(given).exists():
        if isinstance(given, str) and ("/" in given or Path(given).suffix in _SAFE):
            raise ConfigError(
                f"there is no {given}",
                key="model.weights",
                allowed="a file or folder on this machine (it travels along), or the name of weights",
            )
        return Weights()
    path = Path(given)
    files = [path] if path.is_file() else sorted(path.glob("model.*"))
    files = [file for file in files if file.suffix in _SAFE and file.is_file()]
    if not files:
        raise ConfigError(
            f"{given} has no weights in it",
            key="model.weights",
            allowed="a file, or a run's model folder",
        )
    return Weights(path, tuple((file, _sha256(file)) for file in files))


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
