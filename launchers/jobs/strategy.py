"""How the tuner searches: strategy, number of trials, early stopping; each choice with its reason."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omegaconf import DictConfig

from launchers.jobs.space import Space
from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError

DEFAULT_JOBS = 8  # trials, where neither the user nor a grid says how many
LARGEST_AUTO_GRID = 64  # combinations that job.strategy=auto runs all of
LARGEST_GRID = 750  # combinations (quota: training jobs per tuning job)


@dataclass(frozen=True)
class Search:
    """What the tuner is asked to do.

    Attributes:
        strategy: ``Bayesian``, ``Random``, ``Hyperband`` or ``Grid``.
        jobs: trials at most.
        early_stopping: ``Off`` or ``Auto``.
        space: as the strategy takes it: Grid has categorical ranges only.
        seed: of the search; None where there is none.
    """

    strategy: str
    jobs: int
    early_stopping: str
    space: Space
    seed: int | None


def choose(cfg: DictConfig, space: Space, choices: Choices) -> Search:
    """The search that ``conf/job`` asks for, with what it leaves open.

    Raises:
        ConfigError: the strategy can't search this space.
    """
    job = cfg.job
    strategy = job.strategy if job.strategy != "auto" else _strategy(job.max_jobs, space, choices)
    if strategy == "Hyperband" and any(one.name.lstrip("+") == "epochs" for one in space.ranges):
        raise ConfigError(
            "Hyperband itself decides how many epochs a trial gets",
            key="epochs",
            fix="sweep something else, with epochs=<the most>; or job.strategy=Bayesian",
        )
    if strategy == "Grid":
        jobs = _grid(job.max_jobs, job.early_stopping, space, choices)
        ranges = tuple(one.as_categorical() for one in space.ranges)
        return Search(
            "Grid", jobs, _early(job.early_stopping, "Grid", choices), replace(space, ranges=ranges), None
        )
    jobs = DEFAULT_JOBS if job.max_jobs == "auto" else int(job.max_jobs)
    product = space.combinations
    if job.max_jobs == "auto" and product is not None and product < jobs:
        jobs = product
        choices.add("job.max_jobs", jobs, "every combination; there are no more")
    elif job.max_jobs == "auto":
        choices.add("job.max_jobs", jobs, "a first look; each trial is paid for")
    return Search(strategy, jobs, _early(job.early_stopping, strategy, choices), space, job.seed)


def _strategy(max_jobs: int | str, space: Space, choices: Choices) -> str:
    product = space.combinations
    if product is None:
        name, reason = "Bayesian", "an interval is searched, and it learns from the trials before"
    elif max_jobs != "auto" and max_jobs != product:
        name, reason = "Bayesian", f"job.max_jobs={max_jobs} is not all {product} combinations"
    elif product > LARGEST_AUTO_GRID:
        name, reason = "Bayesian", f"{product} combinations are many; job.strategy=Grid runs them all"
    else:
        name, reason = "Grid", f"{product} combinations, run all as Hydra's -m does"
    choices.add("job.strategy", name, reason)
    return name


def _grid(max_jobs: int | str, early_stopping: str, space: Space, choices: Choices) -> int:
    product = space.combinations
    if early_stopping == "Auto":
        raise ConfigError(
            "a grid is run as a whole", key="job.early_stopping", allowed="Off or auto with Grid"
        )
    if product is None:
        wide = next(one for one in space.ranges if not one.values)
        raise ConfigError(
            f"Grid takes single values, and {wide.name} goes from {wide.low} to {wide.high}",
            key="job.strategy",
            allowed="Bayesian, Random, Hyperband for this space",
            fix=f"{wide.name}=<value>,<value>,... or job.strategy=Bayesian",
        )
    if product > LARGEST_GRID:
        raise ConfigError(
            f"{product} combinations", key="job.strategy", allowed=f"at most {LARGEST_GRID} with Grid",
            fix="job.strategy=Random or fewer values",
        )  # fmt: skip
    if max_jobs not in ("auto", product):
        raise ConfigError(
            f"Grid runs all {product} combinations, not {max_jobs}",
            key="job.max_jobs",
            fix=f"job.max_jobs={product}, or job.strategy=Random",
        )
    if max_jobs == "auto":
        choices.add("job.max_jobs", product, "every combination of the grid")
    return product


def _early(asked: str, strategy: str, choices: Choices) -> str:
    if strategy == "Hyperband" and asked == "Auto":
        raise ConfigError("Hyperband stops trials by itself", key="job.early_stopping", allowed="Off or auto")
    if asked != "auto":
        return asked
    reasons = {
        "Hyperband": ("Off", "Hyperband stops trials by itself"),
        "Grid": ("Off", "a grid is run as a whole"),
    }
    value, reason = reasons.get(strategy, ("Auto", "a trial below the median of the others ends early"))
    choices.add("job.early_stopping", value, reason)
    return value
