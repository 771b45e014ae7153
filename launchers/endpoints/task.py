"""What ``deploy.py`` does about endpoints: deploy, list, invoke, delete."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from launchers.aws import account
from launchers.aws.clients import Clients, connect
from launchers.endpoints import actions, deploy, plan, settings, source
from launchers.endpoints.source import Source
from sweepmaker.config.errors import ConfigError
from sweepmaker.serving.settings import Options


def run(cfg: DictConfig, lines: Sequence[str]) -> None:
    """Do what ``cfg.action`` says.

    Args:
        cfg: of ``deploy.py``.
        lines: the command line's overrides.

    Raises:
        ConfigError: a wrong key or value, no such run or job, money that nobody agreed to.
        UserError: AWS refused or could not be reached; the endpoint failed.
        Interrupted: Ctrl-C.
    """
    options = settings.validate(cfg, lines)
    again = [line for line in lines if line.lstrip("+~").startswith("where")]
    if options.action == "deploy":
        return _deploy(cfg, options, again)
    if options.action == "list":
        actions.show(_connected(cfg), cfg.name)
    elif options.action == "invoke":
        image = actions.read(options.images)  # before a server is started to be asked
        actions.invoke(_connected(cfg), str(cfg.name), *image)
    else:
        actions.delete(_connected(cfg), str(cfg.name), dry_run=bool(cfg.dry_run), again=again)


def _deploy(cfg: DictConfig, options: Options, again: Sequence[str]) -> None:
    name = source.job_of(options)
    if cfg.dry_run:
        place = account.fill_in(cfg.where)
        found = source.local(options) if name is None else source.unasked(
            options, name, place.bucket, cfg.where.prefix
        )  # fmt: skip
        if found.folder is not None:
            _check(found.folder)
        with plan.make(cfg, options, found, place) as made:
            _say(made)
            made.show()
        return
    clients: Clients | None = None
    job: Source | None = None
    if name is not None:
        clients = _connected(cfg)
        job = source.of_job(clients, name)
    found = job or _here(options)
    with plan.make(cfg, options, found, account.fill_in(cfg.where)) as made:
        _say(made)
        if cfg.where.name == "sagemaker" and not made.registers and not cfg.confirm:
            raise ConfigError(
                f"money starts running: {made.machines.cost()}",
                key="confirm",
                fix="the same with confirm=true; dry_run=true shows the requests",
            )
        deploy.send(clients or _connected(cfg), made, cfg, again)


def _here(options: Options) -> Source:
    """A model on this machine, also of a job that the account does not have: it may have been collected."""
    found = source.local(options)
    assert found.folder is not None
    _check(found.folder)
    return found


def _check(folder: Path) -> None:
    """The model can be served: better said now than by a container in ten minutes.

    Raises:
        UserError: it cannot.
    """
    from sweepmaker.serving.artifact import open_artifact

    artifact = open_artifact(folder)
    if not artifact.is_own:  # one's own module is built where it is served
        artifact.network()


def _connected(cfg: DictConfig) -> Clients:
    where: Any = OmegaConf.to_container(cfg.where, resolve=True)
    return connect(where)


def _say(made: plan.Plan) -> None:
    for line in made.lines():
        print(line, file=sys.stderr, flush=True)
