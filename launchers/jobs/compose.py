"""The trial's config, composed here as the trial will compose it, before anything is uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from launchers.jobs.ranges import Range
from launchers.jobs.space import Space, is_group
from sweepmaker.config import schema
from sweepmaker.config.errors import ConfigError

# groups and keys of conf/launch.yaml that conf/train.yaml does not have
LAUNCH_ONLY = (
    "where",
    "job",
    "search",
    "dry_run",
    "stage",
    "action",
    "wait",
    "debugger.managed",
    "mlflow",
    "resume",
)
S3 = "s3://"
CONF = Path(__file__).resolve().parents[2] / "conf"
_NO_LOCAL = "local=null"


def travels(line: str) -> bool:
    """Whether an override is the trial's: not Hydra's own and not about the job."""
    key = line.lstrip("+~").partition("=")[0]
    if key.startswith(("hydra.", "hydra/")):
        return False
    return not any(key == own or key.startswith((f"{own}.", f"{own}@")) for own in LAUNCH_ONLY)


def travelling(space: Space) -> tuple[list[str], dict[str, int]]:
    """The static lines that a trial replays, and for each swept key how many of them stand before it."""
    lines = [line for line in space.static if travels(line)]
    swept = {
        one.name: sum(travels(line) for line in space.static[:place])
        for one, place in zip(space.ranges, space.places, strict=True)
    }
    return lines, swept


def launch_config(
    space: Space, name: str, hydra_lines: Sequence[str], config_loader: Any, sweep: DictConfig | None = None
) -> DictConfig:
    """The launch's own config with the first of each swept value, Hydra's node included.

    Args:
        space: what is swept.
        name: of the config, ``launch``.
        hydra_lines: overrides of Hydra's own node.
        config_loader: Hydra's.
        sweep: the config that Hydra composed for the sweeper, without swept keys. Where only values are
            swept they are set in it, which gives the same (held by a test) and saves a composition.

    Raises:
        HydraException: a key or an option does not exist.
    """
    first = {one.name: one.samples[0] for one in space.ranges}
    if sweep is not None and _values_only(space, sweep, config_loader):
        try:
            return _changed(sweep, first, add=False)
        except OmegaConfBaseException:
            pass  # composing says what is wrong, in Hydra's words
    lines = [*hydra_lines, *space.lines(first)]
    cfg: DictConfig = config_loader.load_configuration(name, lines, RunMode.RUN, from_shell=False)
    return cfg


def _values_only(space: Space, sweep: DictConfig, config_loader: Any) -> bool:
    """Whether the sweep's own config lacks nothing but values of keys that it has."""
    composed = {str(line) for line in sweep.hydra.overrides.task}
    plain = all(one.name[0] not in "+~" and not is_group(one.name, config_loader) for one in space.ranges)
    return plain and composed.issuperset(space.static)


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
    begin = {one.name: one.samples[0] for one in space.ranges}
    if (CONF / "local").is_dir():
        same_without_local(first, _compose([*_travelling(space, begin), _NO_LOCAL], config_loader))
    groups = [one for one in space.ranges if is_group(one.name, config_loader)]
    for cell in _cells([one for one in space.ranges if one not in groups]):
        _same_channels(first, checked(_changed(first, cell)), cell)
    for cell in list(_cells(groups))[1:]:
        composed = _compose(_travelling(space, begin | cell), config_loader)
        _same_channels(first, composed, cell)
    return first


def same_without_local(here: DictConfig, there: DictConfig) -> None:
    """conf/local is this machine's: a trial does not have it.

    Raises:
        ConfigError: it changes what would be trained.
    """
    for key in sorted(str(key) for key in here):
        if OmegaConf.select(here, key) != OmegaConf.select(there, key):
            raise ConfigError(
                "is set in conf/local, which stays on this machine: a trial would not have it",
                key=key,
                fix="put it on the command line or into conf/experiment; conf/local may set where and job",
            )


def own_sources_only(cfg: DictConfig) -> None:
    """Refuse configs from elsewhere: they don't travel.

    Raises:
        ConfigError: ``--config-dir`` or ``hydra.searchpath`` names another folder.
    """
    for source in cfg.hydra.runtime.config_sources:
        if source.schema == "file" and not Path(source.path).is_relative_to(CONF):
            raise ConfigError(
                f"configs from {source.path} would be missing in a trial",
                key="hydra.searchpath",
                allowed="conf/ of this checkout",
                fix="copy them into conf/ and git add them",
            )


def without_launch(launch: DictConfig) -> DictConfig:
    """A launch's config without the keys that ``train.py`` does not have."""
    cfg = launch.copy()
    with open_dict(cfg):
        if "hydra" in cfg:
            cfg.hydra.runtime.output_dir = "."  # what paths.output_dir refers to
            HydraConfig.instance().set_config(cfg)
            del cfg["hydra"]
        for key in ("where", "job", "dry_run", "stage", "action", "wait", "mlflow"):
            cfg.pop(key, None)
        cfg.debugger.pop("managed", None)  # the rest of the node is about the trial
        cfg.resume = None
    return cfg


def checked(cfg: DictConfig) -> DictConfig:
    """``cfg`` as it is, after the checks that the trial will make; an s3:// root is taken as there.

    Raises:
        ConfigError: what ``train.py`` would refuse.
    """
    seen = cfg.copy()
    for key in ("data.root", "data.cache_uri"):
        if is_s3(OmegaConf.select(cfg, key)):
            with open_dict(seen):
                OmegaConf.update(seen, key, ".")
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


def _travelling(space: Space, chosen: Mapping[str, str]) -> list[str]:
    return [line for line in space.lines(chosen) if travels(line)]


def _cells(ranges: Sequence[Range]) -> Iterable[dict[str, str]]:
    """As few sets of values as hold every one once; the first has the first of each."""
    for row in zip_longest(*(one.samples for one in ranges)):
        yield {one.name: value or one.samples[0] for one, value in zip(ranges, row, strict=True)}


def _changed(cfg: DictConfig, values: Mapping[str, str], add: bool = True) -> DictConfig:
    """``cfg`` with other values, set as Hydra sets them; composing anew takes ten times as long.

    Raises:
        OmegaConfBaseException: a key is not there and ``add`` is false.
    """
    changed = cfg.copy()
    overrides = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in values.items()])
    for override in overrides:
        OmegaConf.update(changed, override.key_or_group, override.value(), merge=True, force_add=add)
    return changed


def _compose(lines: list[str], config_loader: Any) -> DictConfig:
    cfg: DictConfig = config_loader.load_configuration("train", lines, RunMode.RUN, from_shell=False)
    with open_dict(cfg):
        cfg.hydra.runtime.output_dir = "."  # what paths.output_dir refers to
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return checked(cfg)


def _same_channels(first: DictConfig, cfg: DictConfig, cell: Mapping[str, str]) -> None:
    for key in (
        "data.root",
        "data.cache_uri",
        "data.source",
        "objective.name",
        "objective.mode",
        "model.weights",
    ):
        before, now = (OmegaConf.select(one, key) for one in (first, cfg))
        if before == now or (key == "model.weights" and not any(map(_is_path, (before, now)))):
            continue
        given = " ".join(f"{name}={value}" for name, value in cell.items())
        raise ConfigError(
            f"is {before} in one trial and {now} in another ({given})",
            key=key,
            allowed="one value for all trials: it is a channel of the job, or what they are compared by",
            fix="sweep something else, or launch one job for each",
        )


def _is_path(weights: object) -> bool:
    return isinstance(weights, str) and ("/" in weights or Path(weights).exists())
