"""What can be set of an embedded server: in ``ROOT/embedded.yaml`` or as words behind its command."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from sweepmaker.config.errors import ConfigError

RUNTIMES = ("auto", "fork", "process", "toolkit")


@dataclass
class Settings:
    """Every key with its default."""

    runtime: str = "auto"
    """How a trial is started: fork (a warm process), process (a fresh one), toolkit (AWS's), or auto."""
    toolkit_python: str | None = None
    """Interpreter of the environment that has sagemaker-training; null: .venv-toolkit of the checkout."""
    images: dict[str, str] = field(default_factory=dict)
    """Pattern of an image's URI (``*pytorch*``) -> fork, process, toolkit, or ``toolkit:<interpreter>``."""
    cores: int | None = None
    """Cores that trials may use together; null: those that this process may use."""
    gpus: int | None = None
    """GPUs likewise; null: those of CUDA_VISIBLE_DEVICES, or else that nvidia-smi lists."""
    stop_grace_s: float = 120.0
    """Seconds between asking a trial to end and killing it."""
    checkpoint_s: float = 5.0
    """Seconds between two copies of a trial's checkpoints into its S3."""
    poll_s: float = 0.05
    """Seconds between two looks at a running trial's output."""


def read(file: Path, words: Sequence[str]) -> Settings:
    """The defaults, what ``file`` says where it is there, and ``words`` (``key=value``) above it.

    Raises:
        ConfigError: an unknown key, a value of another type or out of its range, a broken file.
    """
    allowed = ", ".join(one.name for one in fields(Settings))
    for word in words:
        if "=" not in word:
            raise ConfigError(f"{word!r} is no setting", allowed="key=value", fix=f"keys: {allowed}")
    try:
        merged: Any = OmegaConf.structured(Settings)
        if file.exists():
            merged = OmegaConf.merge(merged, OmegaConf.load(file))
        merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(list(words)))
        settings = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(f"settings of the embedded server: {first}", allowed=allowed) from None
    assert isinstance(settings, Settings)
    _check(settings)
    return settings


def cores_of(settings: Settings) -> tuple[int, ...]:
    """Numbers of the cores that trials may use, as `os.sched_setaffinity` counts them."""
    getter = getattr(os, "sched_getaffinity", None)
    here = sorted(getter(0)) if getter else list(range(os.cpu_count() or 1))
    return tuple(here[: settings.cores] if settings.cores else here)


def gpus_of(settings: Settings) -> tuple[str, ...]:
    """The GPUs that trials may use: of those that this process may see, where it was told so."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        # CUDA too stops at the first one that is none: -1, or nothing
        here = tuple(itertools.takewhile(lambda name: name and not name.startswith("-"), names))
        return here[: settings.gpus]
    if settings.gpus is not None:
        return tuple(map(str, range(settings.gpus)))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    if listed.returncode:
        return ()
    return tuple(map(str, range(sum(line.startswith("GPU ") for line in listed.stdout.splitlines()))))


def _check(settings: Settings) -> None:
    if settings.runtime not in RUNTIMES:
        raise ConfigError(f"is {settings.runtime!r}", key="runtime", allowed=" | ".join(RUNTIMES))
    for key, least in (("stop_grace_s", 0.0), ("checkpoint_s", 0.05), ("poll_s", 0.005)):
        if not getattr(settings, key) >= least:
            raise ConfigError(f"is {getattr(settings, key)}", key=key, allowed=f">= {least:g}")
    for key in ("cores", "gpus"):
        value = getattr(settings, key)
        if value is not None and value < (1 if key == "cores" else 0):
            raise ConfigError(f"is {value}", key=key, allowed="a positive number, or null")
    for pattern, choice in settings.images.items():
        if choice.partition(":")[0] not in RUNTIMES[1:]:
            raise ConfigError(
                f"is {choice!r}",
                key=f"images.{pattern}",
                allowed="fork | process | toolkit | toolkit:<interpreter>",
            )
