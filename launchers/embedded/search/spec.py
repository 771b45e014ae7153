"""What is searched and how, read from a CreateHyperParameterTuningJob request."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["continuous", "integer", "categorical"]
Scale = Literal["linear", "log", "reverse_log", "auto"]

MOST_JOBS = 750  # the service's quota of training jobs per tuning job, where a request names no limit
_SCALES: dict[str, Scale] = {
    "Linear": "linear",
    "Logarithmic": "log",
    "ReverseLogarithmic": "reverse_log",
    "Auto": "auto",
}
# Static hyperparameters that the service reads Hyperband's largest resource from (API reference,
# HyperbandStrategyConfig), where the request does not say it.
_EPOCHS = ("epochs", "numepochs", "n-epochs", "n_epochs", "num_epochs")


@dataclass(frozen=True)
class Range:
    """One searched hyperparameter.

    Attributes:
        name: of the hyperparameter.
        kind: ``continuous``, ``integer`` or ``categorical``.
        low, high: the bounds of a number, both included; None for a categorical.
        scale: ``linear``, ``log``, ``reverse_log`` or ``auto``.
        values: of a categorical, as they are sent.
    """

    name: str
    kind: Kind
    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Earlier:
    """A trial of an earlier tuning job, for a warm start.

    Attributes:
        parameters: its tuned hyperparameters, as they were sent.
        value: its objective.
    """

    parameters: dict[str, str]
    value: float


@dataclass(frozen=True)
class Spec:
    """What a tuning job searches and how.

    Attributes:
        strategy: ``Bayesian``, ``Random``, ``Hyperband`` or ``Grid``.
        ranges: of the searched hyperparameters.
        maximize: whether the larger objective is the better one.
        max_jobs: trials at most.
        max_parallel: trials at a time.
        seed: of the search.
        early_stopping: whether trials end by the median rule.
        min_resource, max_resource: Hyperband's, in objective lines (epochs); None: 1, and no end.
        target: objective that completes the tuning job, or None.
        not_improving: trials in a row without an improvement that complete it, or None.
        on_convergence: whether convergence completes it.
    """

    strategy: str
    ranges: tuple[Range, ...]
    maximize: bool
    max_jobs: int
    max_parallel: int = 1
    seed: int | None = None
    early_stopping: bool = False
    min_resource: int | None = None
    max_resource: int | None = None
    target: float | None = None
    not_improving: int | None = None
    on_convergence: bool = False

    @classmethod
    def of_request(cls, request: Mapping[str, Any]) -> Spec:
        """The search that a valid request asks for; ``request["_seed"]`` is its seed."""
        config: Mapping[str, Any] = request["HyperParameterTuningJobConfig"]
        strategy = str(config["Strategy"])
        ranges = _ranges(config.get("ParameterRanges", {}))
        limits = config["ResourceLimits"]
        jobs = limits.get("MaxNumberOfTrainingJobs")
        if jobs is None:
            jobs = math.prod(len(one.values) for one in ranges) if strategy == "Grid" else MOST_JOBS
        hyperband = config.get("StrategyConfig", {}).get("HyperbandStrategyConfig", {})
        criteria = config.get("TuningJobCompletionCriteria", {})
        target = criteria.get("TargetObjectiveMetricValue")
        seed = request.get("_seed")
        return cls(
            strategy=strategy,
            ranges=ranges,
            maximize=config.get("HyperParameterTuningJobObjective", {}).get("Type") != "Minimize",
            max_jobs=int(jobs),
            max_parallel=int(limits["MaxParallelTrainingJobs"]),
            seed=None if seed is None else int(seed),
            early_stopping=config.get("TrainingJobEarlyStoppingType") == "Auto",
            min_resource=_whole(hyperband.get("MinResource")),
            max_resource=_whole(hyperband.get("MaxResource", _epochs(request))),
            target=None if target is None else float(target),
            not_improving=_whole(
                criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
            ),
            on_convergence=criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled",
        )


def _ranges(ranges: Mapping[str, Any]) -> tuple[Range, ...]:
    found: list[Range] = []
    for one in ranges.get("ContinuousParameterRanges", ()):
        scale = _SCALES[one.get("ScalingType", "Auto")]
        found.append(Range(one["Name"], "continuous", float(one["MinValue"]), float(one["MaxValue"]), scale))
    for one in ranges.get("IntegerParameterRanges", ()):
        scale = _SCALES[one.get("ScalingType", "Auto")]
        found.append(Range(one["Name"], "integer", int(one["MinValue"]), int(one["MaxValue"]), scale))
    for one in ranges.get("CategoricalParameterRanges", ()):
        found.append(Range(one["Name"], "categorical", values=tuple(one["Values"])))
    return tuple(found)


def _epochs(request: Mapping[str, Any]) -> str | None:
    static = request.get("TrainingJobDefinition", {}).get("StaticHyperParameters", {})
    return next((static[name] for name in _EPOCHS if str(static.get(name, "")).isdecimal()), None)


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
