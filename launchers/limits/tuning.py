"""CreateHyperParameterTuningJob's rules that stand only in prose.

Sources: CreateHyperParameterTuningJob and the shapes below it, API reference; Amazon SageMaker endpoints
and quotas; SageMaker developer guide, "Resource Limits for Automatic Model Tuning".
Quotas that AWS raises on request are held to what they can be raised to.
"""

from __future__ import annotations

from collections.abc import Iterator

from launchers.limits import job, ranges, resources
from launchers.limits.at import At, Violation
from launchers.limits.definitions import Definition, definitions, placement
from launchers.limits.shown import shown

MOST_METRICS = 20  # the model says 40
MOST_HYPERPARAMETERS = 99  # 100, and the service adds _tuning_objective_metric
MOST_VARIABLES = 48
MOST_PARALLEL = 100  # 10, raisable
MOST_JOBS = 750
MOST_RANDOM_JOBS = 10_000  # 750, raisable
LONGEST_TUNING = 30 * resources.DAY  # the model says 182.5 days
MOST_EPOCHS = 20_000


def violations(request: At) -> Iterator[Violation]:
    """What the service would refuse of a tuning job although it fits the model."""
    config = request["HyperParameterTuningJobConfig"]
    parts = definitions(request)
    yield from placement(request)
    for rule in (_parallel, _jobs, _runtime, _hyperband):
        yield from rule(config)
    yield from _early_stopping(config, parts)
    yield from _grid(config, parts)
    yield from _enough_points(config, parts)
    yield from _totals(request, parts)
    yield from _one_algorithm(request)
    yield from _warm_start(request)
    yield from job.tags(request)
    for part in parts:
        yield from _definition(part, request["Autotune"].given)


def _definition(part: Definition, autotune: bool) -> Iterator[Violation]:
    yield from ranges.violations(part.ranges, part.job["StaticHyperParameters"])
    yield from _something_to_search(part, autotune)
    yield from _objective(part)
    if not part.job.given:
        return
    yield from _instances(part.job)
    yield from job.violations(part.job)
    yield from resources.violations(part.job)
    static = part.job["StaticHyperParameters"]
    total = len(static.entries()) + len(ranges.searched(part.ranges))
    if total > MOST_HYPERPARAMETERS:
        yield static.bad(
            f"{total} hyperparameters, static and searched",
            f"at most {MOST_HYPERPARAMETERS} (the service adds {ranges.OWN_NAME})",
        )


def _parallel(config: At) -> Iterator[Violation]:
    """Quotas: parallel training jobs per tuning job 10, raisable to 100."""
    parallel = config["ResourceLimits"]["MaxParallelTrainingJobs"]
    if (parallel.whole or 0) > MOST_PARALLEL:
        yield parallel.bad(f"{shown(parallel.value)} jobs at once", f"at most {MOST_PARALLEL} (unraised: 10)")


def _jobs(config: At) -> Iterator[Violation]:
    """Quotas: training jobs per tuning job 750; Random is raisable to 10000."""
    strategy = config["Strategy"].text
    most = MOST_RANDOM_JOBS if strategy == "Random" else MOST_JOBS
    jobs = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    if (jobs.whole or 0) > most:
        yield jobs.bad(
            f"{shown(jobs.value)} training jobs", f"at most {most} with strategy {shown(strategy)}"
        )


def _runtime(config: At) -> Iterator[Violation]:
    """Quotas: run time of a tuning job 30 days."""
    longest = config["ResourceLimits"]["MaxRuntimeInSeconds"]
    if (longest.whole or 0) > LONGEST_TUNING:
        yield longest.bad(f"{shown(longest.value)} s is too long", f"at most {LONGEST_TUNING} s (30 days)")


def _hyperband(config: At) -> Iterator[Violation]:
    """HyperbandStrategyConfig, API reference."""
    strategy = config["StrategyConfig"]
    limits = strategy["HyperbandStrategyConfig"]
    if config["Strategy"].text != "Hyperband":
        if strategy.given:
            yield strategy.bad("is set", "only with strategy Hyperband", "leave it out, or use Hyperband")
        return
    low, high = limits["MinResource"], limits["MaxResource"]
    if not high.given:
        yield high.bad("is missing", f"the most epochs of one job, at most {MOST_EPOCHS}")
    if (high.whole or 0) > MOST_EPOCHS:
        yield high.bad(f"{shown(high.value)} epochs", f"at most {MOST_EPOCHS}")
    if low.whole is not None and high.whole is not None and low.whole > high.whole:
        yield low.bad(
            f"{shown(low.value)} is above MaxResource ({shown(high.value)})", "MinResource <= MaxResource"
        )
    stopping = config["TrainingJobEarlyStoppingType"]
    if stopping.text == "Auto":
        yield stopping.bad("'Auto' does not go with Hyperband, which stops jobs itself", "Off", "use Off")


def _early_stopping(config: At, parts: list[Definition]) -> Iterator[Violation]:
    """Stop Training Jobs Early and Set completion criteria, developer guide: both go by the objective."""
    if all(part.objective.given for part in parts):
        return
    stopping, criteria = config["TrainingJobEarlyStoppingType"], config["TuningJobCompletionCriteria"]
    if stopping.text == "Auto":
        yield stopping.bad("'Auto' without an objective", "Off, or an objective", "set the objective metric")
    if criteria.given:
        yield criteria.bad("is set without an objective", "only with one", "set the objective metric")


def _grid(config: At, parts: list[Definition]) -> Iterator[Violation]:
    """Grid search, developer guide: categories only, and every combination once."""
    if config["Strategy"].text != "Grid":
        return
    for part in parts:
        for kind in ("IntegerParameterRanges", "ContinuousParameterRanges", "AutoParameters"):
            for one in part.ranges[kind].items():
                yield one.bad(
                    f"{shown(one['Name'].value)} does not go with strategy Grid",
                    "CategoricalParameterRanges only",
                    "list its values, or use Bayesian or Random",
                )
        only = part.ranges["CategoricalParameterRanges"]
        points = ranges.choices(part.ranges)
        if points > MOST_JOBS:
            allowed = f"at most {MOST_JOBS} with strategy Grid"
            yield only.bad(f"{shown(points)} combinations", allowed, "use Random")
    jobs = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    exact = ranges.combinations(parts[0].ranges) if len(parts) == 1 else None
    if jobs.whole is not None and exact is not None and jobs.whole != exact:
        wrong = f"{shown(jobs.value)} training jobs for {shown(exact)} combinations"
        allowed = f"with strategy Grid exactly the number of combinations ({shown(exact)}), or nothing"
        yield jobs.bad(wrong, allowed, "leave it out")


def _enough_points(config: At, parts: list[Definition]) -> Iterator[Violation]:
    """The service's own refusal: "You don't have enough combinations of hyperparameter ranges"."""
    jobs = config["ResourceLimits"]["MaxNumberOfTrainingJobs"]
    if config["Strategy"].text == "Grid" or jobs.whole is None or len(parts) != 1:
        return
    points = ranges.combinations(parts[0].ranges)
    if points is not None and jobs.whole > points:
        yield jobs.bad(
            f"{shown(jobs.value)} training jobs, but only {points} combinations to try",
            f"at most {points}: no combination is tried twice",
            f"use {points}, or search a continuous range",
        )


def _totals(request: At, parts: list[Definition]) -> Iterator[Violation]:
    """Quotas and API reference: what is counted over the whole tuning job."""
    several = request["TrainingJobDefinitions"]
    where = several if several.given else None

    found = sum(len(ranges.searched(part.ranges)) for part in parts)
    if found > ranges.MOST_SEARCHED:
        place = where or parts[0].ranges
        yield place.bad(
            f"{found} searched hyperparameters", f"at most {ranges.MOST_SEARCHED} in a tuning job"
        )

    lists = [part.job["AlgorithmSpecification"]["MetricDefinitions"] for part in parts]
    metrics = {metric["Name"].text for metrics in lists for metric in metrics.items()}
    if len(metrics) > MOST_METRICS:
        place = where or lists[0]
        yield place.bad(f"{len(metrics)} metrics", f"at most {MOST_METRICS} in a tuning job")

    maps = [part.job["Environment"] for part in parts]
    variables = sum(len(variables.entries()) for variables in maps)
    if len(parts) > 1 and variables > MOST_VARIABLES:  # of one definition the model knows it
        yield several.bad(f"{variables} environment variables", f"at most {MOST_VARIABLES} in a tuning job")


def _one_algorithm(request: At) -> Iterator[Violation]:
    """Developer guide: "Warm start and early stopping are available only when tuning a single algorithm"."""
    if len(request["TrainingJobDefinitions"].items()) < 2:
        return
    stopping = request["HyperParameterTuningJobConfig"]["TrainingJobEarlyStoppingType"]
    if stopping.text == "Auto":
        yield stopping.bad("'Auto' does not go with several definitions", "Off", "use Off")
    if request["WarmStartConfig"].given:
        yield request["WarmStartConfig"].bad("does not go with several definitions", "one definition")


def _warm_start(request: At) -> Iterator[Violation]:
    """HyperParameterTuningJobWarmStartConfig, API reference; what the parents were cannot be seen here."""
    own = request["HyperParameterTuningJobName"].text.lower()
    seen: set[str] = set()
    for parent in request["WarmStartConfig"]["ParentHyperParameterTuningJobs"].items():
        name = parent["HyperParameterTuningJobName"]
        key = name.text.lower()
        if not name.given:
            yield name.bad("is missing", "the name of a finished tuning job")
        elif key and key == own:
            yield name.bad(
                f"{shown(name.text)} is the job itself", "the name of another, finished tuning job"
            )
        elif key and key in seen:
            yield name.bad(f"{shown(name.text)} is there twice", "each parent once (capitals do not count)")
        seen.add(key)


def _something_to_search(part: Definition, autotune: bool) -> Iterator[Violation]:
    """ParameterRanges, API reference; with Autotune the service chooses ranges itself."""
    automatic = part.ranges["AutoParameters"]
    if automatic.items() and not autotune:
        yield automatic.bad("is set without Autotune", "only with Autotune", "set Autotune.Mode to Enabled")
    if not ranges.searched(part.ranges) and not automatic.items() and not autotune:
        yield part.ranges.bad("holds nothing to search", "at least one range")


def _objective(part: Definition) -> Iterator[Violation]:
    """HyperParameterTuningJobObjective and MetricDefinition, API reference; an algorithm by name (of the
    Marketplace, say) brings its metrics along.
    """
    name = part.objective["MetricName"]
    if not part.objective.given:
        yield part.objective.bad("is missing", "the metric to tune for and its direction")
    algorithm = part.job["AlgorithmSpecification"]
    if not name.text or not algorithm["TrainingImage"].given:
        return
    metrics = [metric["Name"].text for metric in algorithm["MetricDefinitions"].items()]
    if name.text not in metrics:
        known = ", ".join(shown(metric) for metric in metrics[:8]) or "none is defined"
        yield name.bad(f"no metric {shown(name.text)} is defined", f"a name of MetricDefinitions ({known})")


def _instances(definition: At) -> Iterator[Violation]:
    """HyperParameterTuningResourceConfig, API reference: instead of ResourceConfig, never beside it."""
    plain, flexible = definition["ResourceConfig"], definition["HyperParameterTuningResourceConfig"]
    if plain.given and flexible.given:
        yield flexible.bad("is set beside ResourceConfig", "one of the two", "leave one out")
    if not plain.given and not flexible.given:
        yield plain.bad("is missing", "ResourceConfig, or HyperParameterTuningResourceConfig instead")
    if not flexible["InstanceConfigs"].given:
        if flexible.given and not flexible["InstanceType"].given:
            yield flexible["InstanceType"].bad("is missing", "an instance type, or InstanceConfigs instead")
        return
    for name in ("InstanceType", "InstanceCount", "VolumeSizeInGB"):
        if flexible[name].given:
            yield flexible[name].bad("does not go with InstanceConfigs", "one of the two", "leave it out")
