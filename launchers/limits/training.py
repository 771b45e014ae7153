"""CreateTrainingJob's rules that stand only in prose."""

from __future__ import annotations

from collections.abc import Iterator

from launchers.limits import job, resources
from launchers.limits.at import At, Violation
from launchers.limits.shown import shown

LONGEST_VALUE = 256  # characters; the model says 2500
INTERVALS = (100, 200, 500, 1000, 5000, 60_000)  # milliseconds


def violations(request: At) -> Iterator[Violation]:
    """What the service would refuse of a training job although it fits the model."""
    for rule in _RULES:
        yield from rule(request)


def _members(request: At) -> Iterator[Violation]:
    """CreateTrainingJob, API reference: only a serverless job does without algorithm and resources."""
    if request["ServerlessJobConfig"].given:
        return
    for name in ("AlgorithmSpecification", "ResourceConfig"):
        if not request[name].given:
            yield request[name].bad("is missing", "required, but for serverless jobs")


def _hyperparameters(request: At) -> Iterator[Violation]:
    """CreateTrainingJob, API reference: "Each key and value is limited to 256 characters"."""
    entries = request["HyperParameters"].entries()
    for _, value in entries:
        if len(value.text) > LONGEST_VALUE:
            yield value.bad(
                f"{shown(value.text)} has {len(value.text)} characters",
                f"at most {LONGEST_VALUE} characters",
                "put the value into a file that is sent with the code",
            )
    yield from job.twice([At(key, value.path) for key, value in entries], "hyperparameter")


def _profiler(request: At) -> Iterator[Violation]:
    """ProfilerConfig, API reference: the intervals that there are."""
    interval = request["ProfilerConfig"]["ProfilingIntervalInMilliseconds"]
    if interval.whole is not None and interval.whole not in INTERVALS:
        allowed = " | ".join(str(number) for number in INTERVALS)
        yield interval.bad(f"{shown(interval.value)} ms is not one of the intervals", allowed)


def _rule_names(request: At) -> Iterator[Violation]:
    """DebugRuleConfiguration and ProfilerRuleConfiguration, API reference: unique names."""
    kinds = ("DebugRuleConfigurations", "ProfilerRuleConfigurations")
    seen: set[str] = set()
    for rule in (rule for kind in kinds for rule in request[kind].items()):
        name = rule["RuleConfigurationName"]
        if name.text in seen:
            yield name.bad(
                f"rule {shown(name.text)} is there twice", "each name once, over both kinds of rules"
            )
        seen |= {name.text} - {""}


_RULES = (
    _members,
    _hyperparameters,
    _profiler,
    _rule_names,
    job.violations,
    resources.violations,
    job.tags,
)
