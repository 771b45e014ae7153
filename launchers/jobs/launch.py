"""One launch from command line to job: compose, build the request, upload, send."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from launchers.jobs import compose, settings, space, strategy
from launchers.jobs.build import Builder
from launchers.jobs.plan import Plan, instance_hours, show
from launchers.jobs.space import Space
from sweepmaker.config import app
from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.atomic import write_text

if TYPE_CHECKING:
    from launchers.aws.clients import Clients
    from launchers.jobs.submit import Submitted


def tuning_job(
    arguments: Sequence[str], params: dict[str, Any], config: DictConfig, config_loader: Any
) -> None:
    """What the sweeper does with a sweep: one tuning job.

    Args:
        arguments: the override lines of the command line.
        params: ``hydra.sweeper.params``.
        config: Hydra's of the sweep; the sweep's folder comes from it.
        config_loader: Hydra's.

    Raises:
        UserError: everything that the user can mend.
    """
    if _about_a_job(config, arguments) or _continued(config, arguments):
        return
    folder = Path(str(config.hydra.sweep.dir))
    searched = space.parse(arguments, config_loader, params)
    hydra_lines = [str(line) for line in config.hydra.overrides.hydra]
    name = str(config.hydra.job.config_name)
    cfg = compose.launch_config(searched, name, hydra_lines, config_loader, sweep=config)
    compose.own_sources_only(cfg)
    space.whole_where_whole(searched)
    settings.validate(cfg, sweep=True)
    trial = compose.trial_config(cfg, searched, config_loader)
    choices = Choices()
    for note in searched.notes:
        print(note, file=sys.stderr)
    search = strategy.choose(cfg, searched, choices)
    if search.strategy == "Hyperband":
        settings.validate_hyperband(cfg)
    builder = Builder(cfg, trial, choices)
    plan = builder.tuning(search, *compose.travelling(searched))
    if (sent := _carry_out(plan, builder, cfg, folder)) is not None:
        _keep_sweep(folder, [line for line in arguments if compose.travels(line)], sent[1])
        _follow(*sent, plan.operation, folder, arguments, cfg, wait=cfg.wait)


def training_job(cfg: DictConfig) -> None:
    """One training job: ``launch.py`` without ``-m``, or one of ``-m hydra/sweeper=basic``.

    Raises:
        SystemExit: something that the user can mend, said on stderr. An exception would have Hydra print
            every override, account ids with them, and go on to the next job.
    """
    try:
        _training_job(cfg)
    except UserError as error:
        app.report(error)
        raise SystemExit(error.exit_code) from None


def _training_job(cfg: DictConfig) -> None:
    hydra = HydraConfig.get()
    if _about_a_job(cfg, hydra.overrides.task) or _continued(cfg, hydra.overrides.task):
        return
    compose.own_sources_only(OmegaConf.create({"hydra": hydra}))
    settings.validate(cfg, sweep=False)
    lines = [str(line) for line in hydra.overrides.task if compose.travels(str(line))]
    several = hydra.mode == RunMode.MULTIRUN
    if several:
        instance_hours(cfg, _jobs_of_the_sweep(GlobalHydra.instance().config_loader()))
    folder = Path(str(hydra.runtime.output_dir if several else cfg.job.folder))
    loader = GlobalHydra.instance().config_loader()
    trial = compose.trial_config(cfg, Space((), tuple(lines)), loader)
    builder = Builder(cfg, trial, Choices())
    plan = builder.training(lines)
    if (sent := _carry_out(plan, builder, cfg, folder)) is None:
        return
    # of several each is sent, and left to train beside the others
    _follow(*sent, plan.operation, folder, hydra.overrides.task, cfg, wait=cfg.wait and not several)


def _jobs_of_the_sweep(config_loader: Any) -> int:
    """How many jobs ``hydra/sweeper=basic`` is about to send: they are bounded together."""
    lines = [word for word in sys.argv[1:] if not word.startswith("-")]
    parsed = OverridesParser.create(config_loader=config_loader).parse_overrides(lines)
    swept = [one for one in parsed if one.is_sweep_override()]
    return math.prod(len(list(one.sweep_string_iterator())) for one in swept)


def _about_a_job(cfg: DictConfig, lines: Iterable[Any]) -> bool:
    """``action=``: what is about a job that is there."""
    if cfg.action == "launch":
        return False
    from launchers.jobs import actions

    actions.run(cfg, [str(line) for line in lines])
    return True


def _continued(cfg: DictConfig, lines: Sequence[Any]) -> bool:
    """``resume=<folder>``: find the job of that folder, or send it; with ``dry_run=true`` show it."""
    parsed = OverridesParser.create().parse_overrides([str(line) for line in lines])
    given = {one.get_key_element(): one.value() for one in parsed if not one.is_sweep_override()}
    if not given.get("resume"):
        return False
    from launchers.jobs import submit

    folder = Path(str(given["resume"]))
    if given.get("stage"):
        raise ConfigError(
            "a kept request is sent or not; nothing is uploaded", key="stage", fix="leave it out"
        )
    if given.get("dry_run"):
        kept = submit.kept(folder)
        print(json.dumps({"operation": kept["operation"], "request": kept["request"]}, indent=2), flush=True)
    else:
        kept = submit.kept(folder)
        clients = submit.connected(kept)
        sent = submit.resume(folder, clients)
        _follow(clients, sent, kept["operation"], folder, lines, cfg, wait=cfg.wait)
    return True


def _carry_out(
    plan: Plan, builder: Builder, cfg: DictConfig, folder: Path
) -> tuple[Clients, Submitted] | None:
    """What the plan says; the job, unless it was only to be shown or prepared."""
    if cfg.dry_run:
        show(plan)
        return None
    from launchers.jobs import submit
    from launchers.jobs.plan import summary

    for line in summary(plan):
        print(line, file=sys.stderr)
    clients, plan = builder.upload(plan)
    if cfg.stage:
        print(json.dumps({"operation": plan.operation, "request": plan.request}, indent=2), flush=True)
        return None
    return clients, submit.create(clients, plan.operation, plan.request, folder)


def _follow(
    clients: Clients,
    sent: Submitted,
    operation: str,
    folder: Path,
    lines: Sequence[Any],
    cfg: DictConfig,
    *,
    wait: bool,
) -> None:
    """Stay with the job to its end, or with ``wait=false`` say how to come back."""
    again = [str(line) for line in lines if str(line).lstrip("+").startswith("where")]
    print(
        f"{'found' if sent.existed else 'sent'}: {sent.name}; kept in {folder}", file=sys.stderr, flush=True
    )
    from launchers.jobs import actions, mlflow_runs, watch
    from launchers.jobs.operations import OPERATIONS

    if wait:
        actions.follow(clients, OPERATIONS[operation], sent.name, folder, again, mlflow_runs.tracking(cfg))
        return
    print(watch.come_back(sent.name, again), file=sys.stderr)
    print(json.dumps({"name": sent.name, "folder": str(folder)}), flush=True)


def _keep_sweep(folder: Path, arguments: Sequence[str], submitted: Submitted) -> None:
    """``multirun.yaml``, as Hydra's own sweepers leave one."""
    content = {"overrides": list(arguments), "job": {"name": asdict(submitted)["name"]}}
    write_text(folder / "multirun.yaml", OmegaConf.to_yaml(OmegaConf.create(content)))
