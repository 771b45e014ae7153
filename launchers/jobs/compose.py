"""The trial's config, composed here as the trial will compose it, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from launchers.jobs.space import Space
from sweepmaker.config import schema
from sweepmaker.config.errors import ConfigError

# groups and keys of conf/launch.yaml that conf/train.yaml does not have
LAUNCH_ONLY = ("where", "job", "search", "dry_run", "stage", "action", "debugger.managed", "resume")
S3 = "s3://"


def travels(line: str) -> bool:
    """Whether an override is the trial's: not Hydra's own and not about the job."""
    key = line.lstrip("+~").partition("=")[0]
    if key.startswith(("hydra.", "hydra/")):
        return False
    return not any(key == own or key.startswith((f"{own}.", f"{own}@")) for own in LAUNCH_ONLY)


def trial_config(space: Space, config_loader: Any) -> DictConfig:
    """The config of the first trial; every value of every swept key is tried once on the way.

    Raises:
        ConfigError: a value is not allowed, or a swept key changes what the whole job shares.
        HydraException: a key or an option does not exist.
    """
    first: DictConfig | None = None
    for cell in _cells(space):
        cfg = _compose([*filter(travels, space.static), *cell], config_loader)
        if first is None:
            first = cfg
        _same_channels(first, cfg, cell)
    assert first is not None
    return first


def checked(cfg: DictConfig) -> DictConfig:
    """``cfg`` as it is, after the checks that the trial will make; an s3:// root is taken as there.

    Raises:
        ConfigError: what ``train.py`` would refuse.
    """
    seen = cfg.copy()
    if is_s3(OmegaConf.select(seen, "data.root")):
        with open_dict(seen):
            seen.data.root = "."
    schema.validate(seen)
    if cfg.ckpt_path:
        raise ConfigError(
            "is a path on this machine, which a container does not have",
            key="ckpt_path",
            fix="model.weights=<run folder>/model: weights travel with the job",
        )
    return cfg


def is_s3(path: object) -> bool:
    """Whether a path lies in S3."""
    return isinstance(path, str) and path.startswith(S3)


def _cells(space: Space) -> Iterable[Sequence[str]]:
    """As few sets of overrides as hold every value once."""
    columns = [[f"{one.name}={value}" for value in one.samples] for one in space.ranges]
    for row in zip_longest(*columns) if columns else [()]:
        yield [value or column[0] for value, column in zip(row, columns, strict=True)]


def _compose(lines: list[str], config_loader: Any) -> DictConfig:
    cfg: DictConfig = config_loader.load_configuration("train", lines, RunMode.RUN, from_shell=False)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = "."  # what paths.output_dir refers to
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return checked(cfg)


def _same_channels(first: DictConfig, cfg: DictConfig, cell: Sequence[str]) -> None:
    for key in ("data.root", "data.source", "objective.name", "objective.mode"):
        before, now = (OmegaConf.select(one, key) for one in (first, cfg))
        if before != now:
            raise ConfigError(
                f"is {before} in one trial and {now} in another ({' '.join(cell)})",
                key=key,
                allowed="one value for all trials: data are a channel of the whole job",
                fix="sweep something else, or launch one job for each",
            )
