"""What can be refused before anything is imported or written: the config, and the folder it would go to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from sweepmaker.config import argv, schema
from sweepmaker.config.errors import ConfigError
from sweepmaker.run.folder import RunFolder

# what may differ when a run is continued: it has no part in the result
_MAY_CHANGE = (
    "resume", "fail_fast", "test", "paths.", "custom", "logger", "callbacks.resume.", "ckpt_path",
    "data.num_workers", "data.root", "trainer.threads", "trainer.enable_", "trainer.log_every_n_steps",
    "model.weights", "profiler",
)  # fmt: skip


def check(cfg: DictConfig, folder: RunFolder) -> None:
    """What can be refused before anything is written or imported.

    Raises:
        ConfigError: the config, or what the folder holds already, does not allow this run.
    """
    schema.validate(cfg)
    if cfg.resume and Path(cfg.resume).absolute() != folder.path:
        raise ConfigError("only works on the command line", key="resume", fix=argv.resume_line(cfg.resume))
    if not cfg.train and folder.record.exists():
        raise ConfigError(
            f"{folder.path} is a run already; evaluating there would overwrite its result",
            key="hydra.run.dir",
            fix=f"leave it out: train=false {argv.word('ckpt_path', folder.path)}",
        )
    devices = OmegaConf.select(cfg, "trainer.devices", default=1)
    if HydraConfig.get().mode == RunMode.MULTIRUN and devices not in (1, "1", "auto"):
        raise ConfigError(
            "several devices do not go with -m: each of their processes would start the sweep again",
            key="trainer.devices",
            fix="trainer.devices=1, or start the runs one by one",
        )
    _same_as_before(cfg, folder)


def _same_as_before(cfg: DictConfig, folder: RunFolder) -> None:
    """A run continues with the settings that its weights and its schedule come from."""
    saved = folder.path / ".hydra" / "config.yaml"
    if not cfg.train or not saved.is_file() or not folder.checkpoints.is_dir():
        return
    before, now = (
        _flat(OmegaConf.to_container(part, resolve=False)) for part in (OmegaConf.load(saved), cfg)
    )
    for key in sorted(before.keys() | now.keys()):
        if key.startswith(_MAY_CHANGE) or before.get(key) == now.get(key):
            continue
        raise ConfigError(
            f"was {before.get(key)} when the run in {folder.path} began, and is {now.get(key)} now",
            key=key,
            fix=f"leave it, or train on in a new folder: {key}={now.get(key)} "
            f"{argv.word('ckpt_path', folder.path)}",
        )


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    parts = [_flat(value, f"{prefix}.{key}" if prefix else str(key)) for key, value in node.items()]
    return {key: value for part in parts for key, value in part.items()}
