"""Instances, volumes, times, spot and warm pools: the rules that hold for every training job.

Sources: CreateTrainingJob and CreateHyperParameterTuningJob, API reference; SageMaker developer guide,
"Managed Spot Training" and "SageMaker Managed Warm Pools".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from launchers.limits.at import At, Violation
from launchers.limits.shown import shown

DAY = 86_400  # seconds
LONGEST_RUN = 28 * DAY
DEFAULT_RUN = DAY
LONGEST_WARM = 3600  # seconds; the model says 21600

# Families with NVMe disks of their own (Amazon EC2 user guide, "Instance store volumes"); a family
# that is not here is taken to have none.
_LOCAL = frozenset(
    {"g4dn", "g5", "g6", "g6e", "g7e", "p3dn", "p4d", "p4de", "p5", "p5e", "p5en", "r5d"}
    | {"p6-b200", "p6-b300", "p6e-gb200", "trn1", "trn1n", "trn2"}
)
# Families with GPUs of NVIDIA's: g4dn, gr6, p5, p6-b200; ml.geospatial.interactive is none of them.
_WITH_GPU = re.compile(r"(ml\.)?(gr?|p)\d")
_KEY_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32}"
_KEY = re.compile(rf"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{{12}}:key/)?({_KEY_ID})", re.ASCII)
_ALIAS = re.compile(r"(arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:)?alias/[a-zA-Z0-9/_-]+", re.ASCII)


def has_local_storage(instance_type: str) -> bool:
    """Whether an instance type brings its own encrypted disk, so that VolumeKmsKeyId is refused."""
    parts = instance_type.split(".")
    return len(parts) == 3 and parts[1] in _LOCAL


def has_gpu(instance_type: str) -> bool:
    """Whether an instance type has NVIDIA GPUs (trn and inf have other accelerators)."""
    return _WITH_GPU.match(instance_type) is not None


def violations(job: At) -> Iterator[Violation]:
    """The rules about the resources of a training job or of a tuning job's definition."""
    for rule in (_kinds, _volume_key, _output_key, _stopping, _spot, _warm_pool):
        yield from rule(job)


def _kinds(job: At) -> Iterator[Violation]:
    """ResourceConfig, API reference: one instance type with its count, groups, or preferences."""
    config = job["ResourceConfig"]
    kinds = [
        kind
        for kind in (config[name] for name in ("InstanceType", "InstanceGroups", "InstancePreferences"))
        if kind.given
    ]
    for extra in kinds[1:]:
        yield extra.bad(f"does not go with {kinds[0].path}", "one of the two", "leave one out")
    if config.given and not kinds and not job["ServerlessJobConfig"].given:
        yield config["InstanceType"].bad("is missing", "the instance type to run on, such as ml.g5.xlarge")
    if config["InstanceType"].given:
        yield from _count(config)
    for name in ("SelectedInstanceType", "SelectedInstanceCount"):
        if config[name].given:
            yield config[name].bad("is set", "the service sets it and tells it", "leave it out")


def _count(config: At) -> Iterator[Violation]:
    count = config["InstanceCount"]
    if not count.given:
        yield count.bad("is missing", "a whole number, at least 1: how many instances a job takes")
    elif count.whole == 0:
        yield count.bad("0 instances run nothing", "a whole number, at least 1")


def _volume_key(job: At) -> Iterator[Violation]:
    """ResourceConfig, API reference: no VolumeKmsKeyId for an instance type with local storage."""
    for config in (job["ResourceConfig"], job["HyperParameterTuningResourceConfig"]):
        key = config["VolumeKmsKeyId"]
        if key.text and not _KEY.fullmatch(key.text):
            yield key.bad(f"{shown(key.text)} is not a key's id", "a KMS key id or key ARN (no alias)")
        listed = config["InstanceConfigs"].items() + config["InstanceGroups"].items()
        listed += config["InstancePreferences"].items()
        types = {place["InstanceType"].text for place in (config, *listed)}
        local = sorted(name for name in types if has_local_storage(name))
        if key.given and local:
            yield key.bad(
                f"is set, but {', '.join(local)} has local storage, which its hardware encrypts",
                "only for instance types without local storage",
                "leave it out for these types",
            )


def _output_key(job: At) -> Iterator[Violation]:
    """OutputDataConfig, API reference: the four forms of KmsKeyId."""
    key = job["OutputDataConfig"]["KmsKeyId"]
    if key.text and not (_KEY.fullmatch(key.text) or _ALIAS.fullmatch(key.text)):
        yield key.bad(
            f"{shown(key.text)} is neither a key nor an alias",
            "a KMS key id, key ARN, alias/<name> or alias ARN",
        )


def _stopping(job: At) -> Iterator[Violation]:
    """StoppingCondition, API reference: at most 28 days."""
    longest = job["StoppingCondition"]["MaxRuntimeInSeconds"]
    if (longest.whole or 0) > LONGEST_RUN:
        yield longest.bad(f"{shown(longest.value)} s is too long", f"at most {LONGEST_RUN} s (28 days)")


def _spot(job: At) -> Iterator[Violation]:
    """Managed Spot Training: the wait covers the run, and means nothing without spot."""
    condition = job["StoppingCondition"]
    wait = condition["MaxWaitTimeInSeconds"]
    run = condition["MaxRuntimeInSeconds"]
    if not job["EnableManagedSpotTraining"].on:
        if wait.given:
            yield wait.bad(
                "is set without spot", "only with EnableManagedSpotTraining", "leave it out, or train on spot"
            )
        return
    longest = run.whole if run.given else DEFAULT_RUN
    allowed = f"at least MaxRuntimeInSeconds ({shown(longest)} s)"
    if not wait.given:
        yield wait.bad("is missing, and spot training needs it", allowed)
    elif wait.whole is not None and longest is not None and wait.whole < longest:
        yield wait.bad(f"{shown(wait.value)} s is less than the run may take", allowed)
    preferences = job["ResourceConfig"]["InstancePreferences"]
    if preferences.given:
        yield preferences.bad("does not go with spot training", "on-demand capacity and training plans")


def _warm_pool(job: At) -> Iterator[Violation]:
    """SageMaker Managed Warm Pools: at most an hour, no spot, one kind of instance."""
    config = job["ResourceConfig"]
    keep = config["KeepAlivePeriodInSeconds"]
    seconds = keep.whole or 0
    if seconds > LONGEST_WARM:
        yield keep.bad(f"{shown(seconds)} s is too long", f"at most {LONGEST_WARM} s")
    if seconds > 0 and job["EnableManagedSpotTraining"].on:
        yield keep.bad("does not go with spot training", "0 with EnableManagedSpotTraining", "leave one out")
    if seconds > 0 and config["InstanceGroups"].given:
        yield keep.bad("does not go with InstanceGroups", "one kind of instance", "leave one out")
