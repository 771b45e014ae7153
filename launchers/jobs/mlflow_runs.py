"""A collected sweep as MLflow runs, one parent and a child for each trial, written from the launching side.

The trials themselves need no way to the tracking server, so this works under network isolation too.
Written again, a trial that is there already is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from launchers.aws.masking import masked
from launchers.jobs.results import best_of
from launchers.jobs.standing import TRAINING, Job, Trial
from launchers.jobs.table import printable
from sweepmaker.compare import reading, rows
from sweepmaker.config.errors import UserError
from sweepmaker.run.disk import reason

PACKAGE = "pip install 'sweepmaker[mlflow]'"
_JOB, _TRIAL = "sweepmaker.job", "sweepmaker.trial"
_STATUS = {"Completed": "FINISHED", "Failed": "FAILED", "Stopped": "KILLED"}
_AT_ONCE = 1000  # metrics in one call (MLflow's REST API, log-batch)
_PARAMS_AT_ONCE = 100  # (the same)
_LONGEST_PARAM = 6000  # characters (the same)


def write(
    job: Job, folders: Mapping[str, Path], settings: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """Write the trials of ``job`` that have ended and are collected.

    Args:
        job: as it stands now.
        folders: trial -> its run folder.
        settings: ``mlflow`` of the launch: ``tracking_uri`` (a database, a server, or the ARN of
            SageMaker's managed MLflow) and ``experiment``.
        say: told, as a line, what was written.

    Raises:
        UserError: mlflow is not installed, or the tracking server refuses or cannot be reached.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise UserError(
            "mlflow.tracking_uri needs MLflow, which is not installed here", fix=PACKAGE
        ) from None
    uri = str(settings["tracking_uri"])
    try:
        written = _Writer(MlflowClient(uri), str(settings["experiment"]), say).job(job, folders)
    except (MlflowException, OSError) as error:  # requests' own errors are OSErrors
        first = masked(str(error)).strip().partition("\n")[0]
        raise UserError(
            f"MLflow at {masked(uri)} did not take the runs: {first}",
            key="mlflow.tracking_uri",
            allowed="sqlite:///FILE, http(s)://HOST, or the ARN of a SageMaker tracking server",
            fix="the runs are collected all the same; write them later with action=collect",
        ) from error
    say(f"MLflow: {written} runs written to {masked(uri)}, experiment {settings['experiment']}")


class _Writer:
    def __init__(self, client: Any, experiment: str, say: Callable[[str], None]) -> None:
        self._client, self._say = client, say
        found = client.get_experiment_by_name(experiment)
        self._experiment = client.create_experiment(experiment) if found is None else found.experiment_id

    def job(self, job: Job, folders: Mapping[str, Path]) -> int:
        """The parent and its children; how many children are new."""
        parent = None if job.kind == TRAINING else self._parent(job)
        written = 0
        for trial in job.trials:
            if trial.ended and trial.name in folders and self._known(_TRIAL, trial.name) is None:
                self._trial(job, trial, folders[trial.name], parent)
                written += 1
        if parent is not None:
            self._of_parent(job, parent)
        return written

    def _known(self, tag: str, name: str) -> Any:
        """The run with a tag that has not been half written."""
        for run in self._client.search_runs([self._experiment], f"tags.`{tag}` = '{name}'"):
            if tag == _JOB or run.info.status != "RUNNING":
                return run
            self._client.delete_run(run.info.run_id)  # of an interrupted writing
        return None

    def _parent(self, job: Job) -> str:
        known = self._known(_JOB, job.name)
        if known is not None:
            return str(known.info.run_id)
        made = self._client.create_run(
            self._experiment, start_time=_ms(job.created), run_name=job.name, tags={_JOB: job.name}
        )
        return str(made.info.run_id)

    def _of_parent(self, job: Job, parent: str) -> None:
        best = best_of(job)
        if best is not None:
            self._client.set_tag(parent, "sweepmaker.best", best.name)
            name = _name(job.metric or "objective")
            known = self._client.get_run(parent).data.metrics.get(name)
            if best.value is not None and best.value != known:  # written again it stays as it is
                self._client.log_metric(parent, name, best.value)
        if job.ended:
            ends = [trial.ended_at for trial in job.trials if trial.ended_at is not None]
            self._client.set_terminated(
                parent, _STATUS.get(job.status, "FAILED"), _ms(max(ends, default=None))
            )

    def _trial(self, job: Job, trial: Trial, folder: Path, parent: str | None) -> None:
        from mlflow.entities import Param

        read = reading.read(folder)
        tags = {_TRIAL: trial.name, "sweepmaker.folder": str(folder)}
        tags |= {} if parent is None else {"mlflow.parentRunId": parent}
        tags |= {} if read.commit is None else {"mlflow.source.git.commit": read.commit}
        start = _ms(trial.started or trial.created) or 0
        run = self._client.create_run(self._experiment, start_time=start, run_name=trial.name, tags=tags)
        number = run.info.run_id
        values = read.overrides | dict(trial.tuned)
        params = [Param(_name(key), text[:_LONGEST_PARAM]) for key, text in sorted(values.items())]
        for some in _batches(params, _PARAMS_AT_ONCE):
            self._client.log_batch(number, params=some)
        for some in _batches(_metrics(folder, start, self._say), _AT_ONCE):
            self._client.log_batch(number, metrics=some)
        self._client.set_terminated(number, _STATUS.get(trial.status, "FAILED"), _ms(trial.ended_at))


def _batches(entries: Iterable[Any], size: int) -> Iterator[list[Any]]:
    left = iter(entries)
    while some := list(islice(left, size)):
        yield some


def _metrics(folder: Path, start_ms: int, say: Callable[[str], None]) -> Iterator[Any]:
    """Every finite value of a run, at its step and time, as far as its file can be read."""
    from mlflow.entities import Metric

    try:
        for name, value, step, seconds in rows.values(folder, "metrics.csv"):
            yield Metric(_name(name), value, start_ms + round(1000 * seconds), step)
    except FileNotFoundError:
        return
    except (ValueError, OSError) as error:  # the trial's own file: MLflow has no part in it
        say(printable(f"MLflow: {folder / 'metrics.csv'} cannot be read: {reason(error)}"))


def _name(name: str) -> str:
    """A name that MLflow takes: letters, digits, _ - . : / and spaces."""
    return re.sub(r"[^\w.\- :/]", "_", name)


def _ms(time: Any) -> int | None:
    return None if time is None else round(1000 * time.timestamp())


def tracking(cfg: Any) -> dict[str, Any] | None:
    """The launch's ``mlflow`` settings; None where nothing is to be written."""
    return {str(key): cfg.mlflow[key] for key in cfg.mlflow} if cfg.mlflow.tracking_uri else None
