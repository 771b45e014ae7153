"""One launch from command line to job: compose, build the request, upload, send."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from launchers.jobs import compose, settings, space, strategy
from launchers.jobs.build import Builder
from launchers.jobs.plan import Plan, show
from sweepmaker.config import app
from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.atomic import write_text


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
    folder = Path(str(config.hydra.sweep.dir))
    searched = space.parse(arguments, config_loader, params)
    hydra_lines = [str(line) for line in config.hydra.overrides.hydra]
    name = str(config.hydra.job.config_name)
    cfg = compose.launch_config(searched, name, hydra_lines, config_loader)
    if _continued(cfg):
        return
    settings.validate(cfg, sweep=True)
    trial = compose.trial_config(cfg, searched, config_loader)
    choices = Choices()
    for note in searched.notes:
        print(note, file=sys.stderr)
    search = strategy.choose(cfg, searched, choices)
    builder = Builder(cfg, trial, choices)
    plan = builder.tuning(search, [line for line in searched.static if compose.travels(line)])
    if (submitted := _carry_out(plan, builder, cfg, folder)) is not None:
        _keep_sweep(folder, arguments, submitted)


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
    if _continued(cfg):
        return
    settings.validate(cfg, sweep=False)
    lines = [str(line) for line in hydra.overrides.task if compose.travels(str(line))]
    several = hydra.mode == RunMode.MULTIRUN
    folder = Path(str(hydra.runtime.output_dir if several else cfg.job.folder))
    trial = compose.checked(compose.without_launch(cfg))
    builder = Builder(cfg, trial, Choices())
    _carry_out(builder.training(lines), builder, cfg, folder)


def _continued(cfg: DictConfig) -> bool:
    """``resume=<folder>``: find the job of that folder, or send it."""
    if not cfg.resume:
        return False
    from launchers.jobs import submit

    _report(submit.resume(Path(str(cfg.resume))), Path(str(cfg.resume)))
    return True


def _carry_out(plan: Plan, builder: Builder, cfg: DictConfig, folder: Path) -> Any:
    if cfg.dry_run:
        show(plan)
        return None
    if cfg.where.name == "embedded" and not cfg.where.endpoint_url:
        raise ConfigError(
            "the embedded server does not start by itself yet",
            key="where",
            fix="dry_run=true shows the request; where.endpoint_url=http://127.0.0.1:<port> sends it",
        )
    from launchers.jobs import submit
    from launchers.jobs.plan import summary

    for line in summary(plan):
        print(line, file=sys.stderr)
    clients, plan = builder.upload(plan)
    if cfg.stage:
        print(json.dumps({"operation": plan.operation, "request": plan.request}, indent=2), flush=True)
        return None
    submitted = submit.create(clients, plan.operation, plan.request, folder)
    _report(submitted, folder)
    return submitted


def _report(submitted: Any, folder: Path) -> None:
    print(f"{'found' if submitted.existed else 'sent'}: {submitted.name}; kept in {folder}", file=sys.stderr)
    print(json.dumps({"name": submitted.name, "folder": str(folder)}), flush=True)


def _keep_sweep(folder: Path, arguments: Sequence[str], submitted: Any) -> None:
    """``multirun.yaml``, as Hydra's own sweepers leave one."""
    content = {"overrides": list(arguments), "job": {"name": asdict(submitted)["name"]}}
    write_text(folder / "multirun.yaml", OmegaConf.to_yaml(OmegaConf.create(content)))
