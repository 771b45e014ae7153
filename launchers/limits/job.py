"""Image, metrics, channels, names and tags: the rules that hold for every training job.

Sources: CreateTrainingJob, CreateHyperParameterTuningJob and Channel, API reference; SageMaker
developer guide, "Access Training Data" and "Define metrics and environment variables".
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from launchers.limits.at import At, Violation
from launchers.limits.shown import shown

_LONGEST_REGEX = 500  # characters; the model refuses longer ones, which need not be compiled


def violations(job: At) -> Iterator[Violation]:
    """The rules about what a training job, or a tuning job's definition, runs and reads."""
    yield from _image(job["AlgorithmSpecification"])
    for metric in job["AlgorithmSpecification"]["MetricDefinitions"].items():
        yield from _regex(metric["Regex"])
    channels = job["InputDataConfig"].items()
    yield from twice([channel["ChannelName"] for channel in channels], "channel")
    for channel in channels:
        yield from _source(job, channel)
        yield from _input_mode(job, channel)


def twice(names: list[At], what: str) -> Iterator[Violation]:
    """Names that are there twice, capitals aside: the training toolkit makes SM_HP_<NAME> and
    SM_CHANNEL_<NAME> of them, so that one would hide the other.
    """
    seen: dict[str, str] = {"": ""}
    for name in names:
        key = name.text.lower()
        first = seen.get(key)
        if first is None:
            seen[key] = name.text
        elif not key:
            continue
        elif first == name.text:
            yield name.bad(f"{what} {shown(name.text)} is there twice", "each name once")
        else:
            both = f"{shown(first)} and {shown(name.text)}"
            yield name.bad(f"{what}s {both} differ only in capitals", "names that differ in more")


def tags(request: At) -> Iterator[Violation]:
    """Tag, API reference ("Tag keys must be unique per resource"); "aws:" is reserved (Tagging AWS
    resources, user guide).
    """
    seen: set[str] = set()
    for tag in request["Tags"].items():
        key = tag["Key"]
        if key.text in seen:
            yield key.bad(f"tag {shown(key.text)} is there twice", "each key once")
        if key.text.lower().startswith("aws:"):
            yield key.bad(f"tag {shown(key.text)} has a reserved prefix", "keys that do not begin with aws:")
        seen |= {key.text} - {""}


def _image(algorithm: At) -> Iterator[Violation]:
    """AlgorithmSpecification, API reference: exactly one of image and algorithm."""
    image, name = algorithm["TrainingImage"], algorithm["AlgorithmName"]
    if image.given and name.given:
        yield name.bad("is set beside TrainingImage", "exactly one of the two", "leave one out")
    elif algorithm.given and not image.given and not name.given:
        yield image.bad("is missing", "the address of the training image (or AlgorithmName instead)")


def _regex(regex: At) -> Iterator[Violation]:
    """MetricDefinition, API reference: the group that a regex captures is the metric's value."""
    if not 0 < len(regex.text) <= _LONGEST_REGEX:
        return
    try:
        with warnings.catch_warnings():  # the text is somebody else's: its style is not our business
            warnings.simplefilter("ignore")
            groups = re.compile(regex.text).groups
    except (re.error, RecursionError, OverflowError) as error:
        yield regex.bad(f"{shown(regex.text)} is no regular expression: {error}", "a regular expression")
        return
    if groups == 0:
        yield regex.bad(
            f"{shown(regex.text)} captures nothing", "one group, around the number", "val_acc=([0-9.]+);"
        )
    elif groups > 1:
        yield regex.bad(
            f"{shown(regex.text)} has {groups} groups",
            "one group, around the number",
            "write the others (?:...)",
        )


def _source(job: At, channel: At) -> Iterator[Violation]:
    """DataSource, API reference; file systems are reached through a VPC (developer guide)."""
    source = channel["DataSource"]
    kinds = ("S3DataSource", "FileSystemDataSource", "DatasetSource")
    given = [kind for kind in kinds if source[kind].given]
    if source.given and len(given) != 1:
        yield source.bad(f"has {len(given)} sources", f"exactly one of {' | '.join(kinds)}")
    if source["FileSystemDataSource"].given and not job["VpcConfig"].given:
        yield source["FileSystemDataSource"].bad(
            "is set without VpcConfig", "file systems only inside of a VPC"
        )


def _mode(job: At, channel: At) -> At:
    """Where the channel's input mode is set: its own, or else the job's."""
    own = channel["InputMode"]
    return own if own.given else job["AlgorithmSpecification"]["TrainingInputMode"]


def _input_mode(job: At, channel: At) -> Iterator[Violation]:
    """Channel and S3DataSource, API reference; FastFile: "Access Training Data", developer guide."""
    mode = _mode(job, channel)
    s3 = channel["DataSource"]["S3DataSource"]
    kind, uri = s3["S3DataType"], s3["S3Uri"]
    if kind.text == "AugmentedManifestFile" and mode.text in ("File", "FastFile"):
        yield kind.bad(f"'AugmentedManifestFile' does not go with input mode {mode.text}", "input mode Pipe")
    elif kind.text and kind.text != "S3Prefix" and mode.text == "FastFile":
        yield kind.bad(f"{shown(kind.text)} does not go with input mode FastFile", "S3Prefix")
    if mode.text == "FastFile" and uri.text and not uri.text.endswith("/"):
        yield uri.bad(
            f"{shown(uri.text)} is no whole folder, which FastFile needs",
            "an address that ends with /",
            "add a /",
        )
    if mode.text == "FastFile" and channel["DataSource"]["FileSystemDataSource"].given:
        yield mode.bad(
            "'FastFile' reads S3 only", "File for a file system", "set the channel's InputMode to File"
        )
    compression, wrapper = channel["CompressionType"], channel["RecordWrapperType"]
    if compression.text == "Gzip" and mode.text in ("File", "FastFile"):
        yield compression.bad(f"'Gzip' does not go with input mode {mode.text}", "None, or input mode Pipe")
    if wrapper.text == "RecordIO" and mode.text == "File":
        yield wrapper.bad("'RecordIO' does not go with input mode File", "None, or input mode Pipe")
