"""How a job stands: one look at a tuning job and its trials, or at a single training job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from launchers.aws.clients import Clients
from launchers.jobs.operations import OPERATIONS, Operation, described
from sweepmaker.config.errors import ConfigError

TUNING = OPERATIONS["create_hyper_parameter_tuning_job"]
TRAINING = OPERATIONS["create_training_job"]
ENDED = ("Completed", "Failed", "Stopped", "DeleteFailed")
_PAGE = 100  # the most that the service gives at once
_LOOKED_AT = 5  # running trials described in one look; the listing lacks what they are doing


@dataclass(frozen=True)
class Trial:
    """One training job.

    Attributes:
        phase: the secondary status where it is known: Starting, Downloading, Training, ...
        tuned: the swept values, as text.
        value: of the objective: the last one, None where there is none yet.
        reason: of a failure.
    """

    name: str
    arn: str = ""
    status: str = "InProgress"
    phase: str = ""
    tuned: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    created: datetime | None = None
    started: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def seconds(self, now: datetime | None = None) -> float | None:
        """That it has trained; None before it began."""
        if self.started is None:
            return None
        until = self.ended_at or now or datetime.now(UTC)
        return max((until - self.started).total_seconds(), 0.0)


@dataclass(frozen=True)
class Job:
    """A job and its trials, in the order in which they were made; a training job is its own one trial."""

    kind: Operation
    name: str
    arn: str
    status: str
    created: datetime
    trials: tuple[Trial, ...]
    best: Trial | None = None
    metric: str = ""
    mode: str = "max"
    most: int | None = None
    """Trials that there will be at most."""
    output: str = ""
    """``s3://`` address below which each trial has a folder of its name."""
    static: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def ended(self) -> bool:
        return self.status in ENDED


def kind_of(clients: Clients, name: str) -> Operation:
    """Whether ``name`` is a tuning job or a training job.

    Raises:
        ConfigError: it is neither.
        UserError: AWS refused or could not be reached.
    """
    for kind in (TUNING, TRAINING):
        if len(name) <= kind.longest and described(clients, kind, name) is not None:
            return kind
    raise ConfigError(
        f"there is no job {name!r} in {clients.region}",
        key="job.name",
        fix="action=list shows the jobs of this account and region (where.profile, where.region)",
    )


class Looker:
    """Looks at one job, again and again; errors of boto3 come through as they are.

    Args:
        clients: to ask with; may be replaced between two looks.
        kind: of the job.
        name: of the job.
    """

    def __init__(self, clients: Clients, kind: Operation, name: str) -> None:
        self.clients = clients
        self.kind = kind
        self.name = name
        self._seen: dict[str, Trial] = {}  # as listed, without what Describe says
        self._details: dict[str, Trial] = {}  # as described
        self._turn = 0

    def look(self) -> Job:
        """The job as it is now."""
        answer = getattr(self.clients.sagemaker, self.kind.describe)(**{self.kind.name: self.name})
        return self._tuning(answer) if self.kind == TUNING else _training(answer)

    def _tuning(self, answer: Mapping[str, Any]) -> Job:
        config = answer["HyperParameterTuningJobConfig"]
        objective = config.get("HyperParameterTuningJobObjective") or {}
        definition = answer.get("TrainingJobDefinition") or (answer.get("TrainingJobDefinitions") or [{}])[0]
        metric = str(objective.get("MetricName", ""))
        best = answer.get("BestTrainingJob")
        return Job(
            kind=self.kind,
            name=self.name,
            arn=str(answer[self.kind.arn]),
            status=str(answer[self.kind.status]),
            created=answer["CreationTime"],
            trials=self._trials(metric),
            best=_listed(best) if best and best.get("TrainingJobName") else None,
            metric=metric,
            mode="min" if objective.get("Type") == "Minimize" else "max",
            most=config.get("ResourceLimits", {}).get("MaxNumberOfTrainingJobs"),
            output=str(definition.get("OutputDataConfig", {}).get("S3OutputPath", "")),
            static=definition.get("StaticHyperParameters", {}),
            reason=str(answer.get("FailureReason", "")),
        )

    def _trials(self, metric: str) -> tuple[Trial, ...]:
        listed = sorted(
            map(_listed, self._summaries()), key=lambda one: (one.created or datetime.now(UTC), one.name)
        )
        changed = [one for one in listed if self._seen.get(one.name) != one and not one.ended]
        still = [one for one in listed if not one.ended and one not in changed]
        turned = still[self._turn % len(still) :] + still[: self._turn % len(still)] if still else []
        asked = [*changed, *turned][:_LOOKED_AT]
        self._turn += max(_LOOKED_AT - len(changed), 0)
        for one in asked:
            answer = self.clients.sagemaker.describe_training_job(TrainingJobName=one.name)
            self._details[one.name] = _described(answer, metric)
            self._seen[one.name] = one
        return tuple(self._with_details(one) for one in listed)

    def _with_details(self, one: Trial) -> Trial:
        known = self._details.get(one.name)
        if one.ended or known is None:
            return one
        if known.ended:  # it ended between the two answers: the next listing has the rest
            known = replace(known, phase="")
        return replace(
            one, phase=known.phase, value=known.value if one.value is None else one.value,
            started=one.started or known.started,
        )  # fmt: skip

    def _summaries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        more: dict[str, str] = {}
        while True:
            page = self.clients.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(
                HyperParameterTuningJobName=self.name, MaxResults=_PAGE, SortBy="CreationTime",
                SortOrder="Ascending", **more,
            )  # fmt: skip
            found += page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                return list({one["TrainingJobName"]: one for one in found}.values())
            more = {"NextToken": page["NextToken"]}


def _listed(summary: Mapping[str, Any]) -> Trial:
    """From a HyperParameterTrainingJobSummary."""
    final = summary.get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    return Trial(
        name=str(summary["TrainingJobName"]),
        arn=str(summary.get("TrainingJobArn", "")),
        status=str(summary.get("TrainingJobStatus", "InProgress")),
        tuned={str(key): str(value) for key, value in summary.get("TunedHyperParameters", {}).items()},
        value=float(final["Value"]) if "Value" in final else None,
        created=summary.get("CreationTime"),
        started=summary.get("TrainingStartTime"),
        ended_at=summary.get("TrainingEndTime"),
        reason=str(summary.get("FailureReason", "")),
    )


def _described(answer: Mapping[str, Any], metric: str) -> Trial:
    """From an answer of DescribeTrainingJob."""
    values = {one["MetricName"]: one["Value"] for one in answer.get("FinalMetricDataList", [])}
    return Trial(
        name=str(answer["TrainingJobName"]),
        arn=str(answer.get("TrainingJobArn", "")),
        status=str(answer["TrainingJobStatus"]),
        phase=str(answer.get("SecondaryStatus", "")),
        value=float(values[metric]) if metric in values else None,
        created=answer.get("CreationTime"),
        started=answer.get("TrainingStartTime"),
        ended_at=answer.get("TrainingEndTime"),
        reason=str(answer.get("FailureReason", "")),
    )


def _training(answer: Mapping[str, Any]) -> Job:
    """A training job of its own; the first of its metrics is the objective, as `request` puts it."""
    metrics = answer.get("AlgorithmSpecification", {}).get("MetricDefinitions") or [{}]
    metric = str(metrics[0].get("Name", ""))
    trial = _described(answer, metric)
    return Job(
        kind=TRAINING,
        name=trial.name,
        arn=trial.arn,
        status=trial.status,
        created=answer["CreationTime"],
        trials=(trial,),
        best=trial if trial.value is not None and trial.status != "Failed" else None,
        metric=metric,
        most=1,
        output=str(answer.get("OutputDataConfig", {}).get("S3OutputPath", "")),
        static=answer.get("HyperParameters", {}),
        reason=trial.reason,
    )
