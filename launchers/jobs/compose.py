"""The trial's config, composed here as the trial will compose it, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from launchers.jobs.space import Range, Space
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


def launch_config(space: Space, name: str, hydra_lines: Sequence[str], config_loader: Any) -> DictConfig:
    """The launch's own config with the first of each swept value, Hydra's node included.

    Raises:
        HydraException: a key or an option does not exist.
    """
    first = [f"{one.name}={one.samples[0]}" for one in space.ranges]
    lines = [*hydra_lines, *space.static, *first]
    cfg: DictConfig = config_loader.load_configuration(name, lines, RunMode.RUN, from_shell=False)
    return cfg


def trial_config(launch: DictConfig, space: Space, config_loader: Any) -> DictConfig:
    """The config of the first trial; every value of every swept key is tried once on the way.

    Args:
        launch: the launch's config: conf/launch.yaml stands on conf/train.yaml, so without what is
            about the job it is the trial's (held by a test).
        space: what is swept.
        config_loader: Hydra's.

    Raises:
        ConfigError: a value is not allowed, or a swept key changes what the whole job shares.
        HydraException: a key or an option does not exist.
    """
    first = checked(without_launch(launch))
    groups = [one for one in space.ranges if config_loader.get_group_options(one.name.lstrip("+"))]
    for cell in _cells([one for one in space.ranges if one not in groups]):
        _same_channels(first, checked(_changed(first, cell)), cell)
    fixed = [f"{one.name}={one.samples[0]}" for one in space.ranges if one not in groups]
    for cell in list(_cells(groups))[1:]:
        _same_channels(first, _compose([*filter(travels, space.static), *fixed, *cell], config_loader), cell)
    return first


def without_launch(launch: DictConfig) -> DictConfig:
    """A launch's config without the keys that ``train.py`` does not have."""
    cfg = launch.copy()
    with open_dict(cfg):
        if "hydra" in cfg:
            cfg.hydra.runtime.output_dir = "."  # what paths.output_dir refers to
            HydraConfig.instance().set_config(cfg)
            del cfg["hydra"]
        for key in ("where", "job", "dry_run", "stage", "debugger"):
            cfg.pop(key, None)
        cfg.resume = None
    return cfg


def checked(cfg: DictConfig) -> DictConfig:
    """``cfg`` as it is, after the checks that the trial will make; an s3:// root is taken as there.

    Raises:
        ConfigError: what ``train.py`` would refuse.
    """
    seen = cfg
    if is_s3(OmegaConf.select(cfg, "data.root")):
        seen = cfg.copy()
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


def _cells(ranges: Sequence[Range]) -> Iterable[list[str]]:
    """As few sets of overrides as hold every value once; the first has the first of each."""
    columns = [[f"{one.name}={value}" for value in one.samples] for one in ranges]
    for row in zip_longest(*columns):
        yield [value or column[0] for value, column in zip(row, columns, strict=True)]


def _changed(cfg: DictConfig, lines: list[str]) -> DictConfig:
    """``cfg`` with other values, set as Hydra sets them; composing anew takes ten times as long."""
    changed = cfg.copy()
    overrides = OverridesParser.create().parse_overrides(lines)
    for override in overrides:
        OmegaConf.update(changed, override.key_or_group, override.value(), merge=True, force_add=True)
    return changed


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
