"""What is done about a job that is there: list, watch, stop, collect."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from launchers.aws.clients import Clients, connect
from launchers.aws.failures import explained
from launchers.aws.masking import masked
from launchers.jobs import folders, mlflow_runs, results, settings, watch
from launchers.jobs.collect import collect
from launchers.jobs.operations import OPERATIONS, Operation
from launchers.jobs.standing import Job, Looker, kind_of
from launchers.jobs.table import headline, open_screen, printable, short, values
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.run.interrupt import Interrupted

_LISTED = 20
_OF_A_TUNING_JOB = re.compile(r".+-\d{3,}-[0-9a-f]{8}")  # how SageMaker names trials


def run(cfg: DictConfig, lines: Sequence[str]) -> None:
    """Do what ``cfg.action`` says.

    Args:
        cfg: of the launch.
        lines: the command line's overrides.

    Raises:
        ConfigError: an unknown action, a wrong key, no such job.
        UserError: AWS refused or could not be reached; the job has failed.
        Interrupted: Ctrl-C.
    """
    settings.validate_action(cfg)
    where: Any = OmegaConf.to_container(cfg.where, resolve=True)
    again = [line for line in lines if line.lstrip("+~").startswith("where")]
    if cfg.action == "list":
        return _list(connect(where), cfg.job.name)
    tracking = mlflow_runs.tracking(cfg)
    clients, name, folder = _the_job(where, cfg.job.name, named=bool(again))
    kind = kind_of(clients, name)
    if given := [line for line in lines if line.startswith("job.folder=")]:
        folder = Path(str(cfg.job.folder)) if given else folder
    if cfg.action == "stop":
        return _stop(clients, kind, name)
    looked = _look(clients, kind, name)
    folder = folder or folders.folder_of(looked)
    if cfg.action == "collect":
        return finish(clients, looked, folder, again, tracking)
    if cfg.wait:
        return follow(clients, kind, name, folder, again, tracking)
    screen = open_screen()
    screen.show(looked)
    screen.close()
    _print(looked, folder, again)


def follow(
    clients: Clients,
    kind: Operation,
    name: str,
    folder: Path,
    again: Sequence[str],
    tracking: Mapping[str, Any] | None = None,
) -> None:
    """Watch a job to its end, collect it, and print how it went.

    Args:
        clients: of its account and region.
        kind: of the job.
        name: of the job.
        folder: where it is collected.
        again: the words ``where=...`` of the command line.
        tracking: MLflow's settings, where the runs are to be written there.

    Raises:
        Interrupted: Ctrl-C; the job goes on, or was asked to stop.
        UserError: it failed, or AWS refused.
    """
    try:
        clients, job = watch.watch(clients, kind, name, again)
    except Interrupted:
        print(json.dumps({"name": name, "folder": str(folder)}), flush=True)
        raise
    finish(clients, job, folder, again, tracking)


def finish(
    clients: Clients,
    job: Job,
    folder: Path,
    again: Sequence[str],
    tracking: Mapping[str, Any] | None = None,
) -> None:
    """Collect what there is of a job, write it to MLflow where asked for, and print how it went.

    Raises:
        UserError: it failed, or AWS refused; what was collected until then stays.
        Interrupted: Ctrl-C; likewise.
    """
    rest = f"the rest: {watch.command('collect', job.name, again)}"
    try:
        collected = collect(clients, job, folder, _say)
    except UserError as error:
        error.fix = f"{error.fix}; {rest}" if error.fix else rest
        raise
    except Interrupted:
        _say(f"collecting was interrupted; {rest}")
        raise
    for problem in collected.problems:
        _say(f"warning: {problem}")
    there = f"{collected.fetched} collected, {collected.unchanged} unchanged"
    running = f", {collected.running} still running" if collected.running else ""
    _say(f"{there}{running}: {folder}")
    _print(job, folder, again, collected.folders)
    if tracking is not None:
        try:
            mlflow_runs.write(job, collected.folders, tracking, _say)
        except UserError as error:
            if job.status != "Failed":
                raise
            _say(f"warning: {error}")  # the job's own failure is what has to be told
    if job.status == "Failed":
        reason = masked(job.reason) or "SageMaker gave no reason"
        raise UserError(f"the {job.kind.word} {job.name} failed: {printable(reason)}")


def _print(job: Job, folder: Path, again: Sequence[str], trials: dict[str, Path] | None = None) -> None:
    best = results.summary(job, results.lines_of(folder), trials or {})
    if best is not None and (trial := results.best_of(job)) is not None:
        value = "" if trial.value is None else f"{job.metric}={trial.value:g}  "
        _say(f"best: {printable(f'{short(job, trial)}  {value}{values(trial)}')}")
        if best["command"]:
            _say(f"to train it here: {printable(best['command'])}")
    elif job.ended:
        _say("no trial has a value of the objective")
    told = {"name": job.name, "folder": str(folder), "status": job.status, "best": best}
    print(json.dumps(told), flush=True)


def _the_job(where: dict[str, Any], name: str | None, *, named: bool) -> tuple[Clients, str, Path | None]:
    """Clients, name and folder of the job that is meant: with no name the latest that was launched here."""
    found = folders.launched(name)
    if found is None:
        if name is None:
            raise ConfigError(
                "is needed: no launch is kept below this folder",
                key="job.name",
                fix="action=list shows the jobs of this account and region",
            )
        return connect(where), name, None
    folder, kept = found
    if name is None:
        _say(f"the latest launch: {kept['name']}, from {folder}")
    if not named:  # as it was launched
        where = {**where, **kept["where"], "region": kept["region"]}
    return connect(where), str(kept["name"]), folder


def _look(clients: Clients, kind: Operation, name: str) -> Job:
    with explained(clients.where):
        return Looker(clients, kind, name).look()


def _stop(clients: Clients, kind: Operation, name: str) -> None:
    job = _look(clients, kind, name)
    if job.ended:
        _say(f"{headline(job)}: nothing to stop")
    elif job.status != "Stopping":
        watch.stop(clients, kind, name)
        job = _look(clients, kind, name)
        _say(f"{kind.word} {name} is being stopped; what its trials have by then is kept")
    print(json.dumps({"name": name, "status": job.status}), flush=True)


def _list(clients: Clients, word: str | None) -> None:
    """The latest jobs of the account and region, those with ``word`` in their names; one line each."""
    tuning, training = OPERATIONS.values()
    wanted: dict[str, Any] = {"SortBy": "CreationTime", "SortOrder": "Descending"}
    wanted |= {"NameContains": word} if word else {}
    with explained(clients.where):
        sweeps = clients.sagemaker.list_hyper_parameter_tuning_jobs(MaxResults=_LISTED, **wanted)
        single = clients.sagemaker.list_training_jobs(MaxResults=100, **wanted)
    rows = [
        (one["CreationTime"], one[tuning.name], one[tuning.status], f"{sum(_counts(one))} trials")
        for one in sweeps["HyperParameterTuningJobSummaries"]
    ]
    rows += [
        (one["CreationTime"], one[training.name], one[training.status], "training job")
        for one in single["TrainingJobSummaries"]
        if not _OF_A_TUNING_JOB.fullmatch(one[training.name])
    ][:_LISTED]
    for created, name, status, what in sorted(rows, key=lambda row: row[0], reverse=True):
        print(f"{created.astimezone():%Y-%m-%d %H:%M:%S}  {printable(name):<32}  {status:<10}  {what}")
    if not rows:
        _say(f"no jobs in {clients.region}")
    sys.stdout.flush()


def _counts(summary: Any) -> list[int]:
    counters = summary.get("TrainingJobStatusCounters", {})
    return [int(value) for key, value in counters.items() if key != "RetryableError"]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
