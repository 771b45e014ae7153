"""The prose rules of a tuning job: every row spoils the good request in one way."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.limits import violations
from tests.limits.good import (
    CHANNEL,
    GONE,
    KEY,
    METRICS,
    OBJECTIVE,
    RANGES,
    TUNING,
    full,
    good,
    grid,
    hyperband,
    several,
    spoiled,
)

FALLBACK = {"InstanceConfigs": [{"InstanceType": "ml.c5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 30}]}
FILES = {
    "FileSystemId": "fs-0123456789",
    "FileSystemAccessMode": "ro",
    "FileSystemType": "EFS",
    "DirectoryPath": "/",
}
MANY = [{"Name": f"p{i}", "MinValue": "0", "MaxValue": "9"} for i in range(16)]
MANY_METRICS = [{"Name": f"m{i}", "Regex": f"m{i}=([0-9.]+);"} for i in range(20)]
INTEGERS = {"space.IntegerParameterRanges": RANGES["IntegerParameterRanges"]}
REALS = {"space.ContinuousParameterRanges": RANGES["ContinuousParameterRanges"]}
DEFINITION = good(TUNING)["TrainingJobDefinition"]
WARM = good(TUNING)["WarmStartConfig"]
VARIABLES = {f"V{i}": "1" for i in range(25)}

BAD: list[tuple[dict[str, Any], str, str]] = [
    # counts
    ({"limits.MaxParallelTrainingJobs": 101}, "limits.MaxParallelTrainingJobs", "101 jobs at once"),
    ({"jobs": 751}, "jobs", "751 training jobs"),
    ({"jobs": 10_001, "config.Strategy": "Random"}, "jobs", "10001 training jobs"),
    ({"limits.MaxRuntimeInSeconds": 2_592_001}, "limits.MaxRuntimeInSeconds", "2592001 s is too long"),
    (
        {"space.ContinuousParameterRanges": MANY, "space.IntegerParameterRanges": [
            {**one, "Name": "i" + one["Name"]} for one in MANY]},
        "space", "33 searched hyperparameters",
    ),
    ({"metrics": [*METRICS, *MANY_METRICS]}, "metrics", "22 metrics"),
    ({"static": {f"k{i}": "v" for i in range(96)}}, "static", "100 hyperparameters"),
    # names
    ({"depth.Name": "optimizer.lr"}, "lr.Name", "'optimizer.lr' is there twice"),
    ({"depth.Name": "optimizer.LR"}, "lr.Name", "'optimizer.LR' and 'optimizer.lr' differ only in capitals"),
    ({"depth.Name": ""}, "depth.Name", "is empty"),
    ({"static": {"ema": "0.5"}}, "ema.Name", "'ema' is static and 'ema' is searched"),
    ({"net.Name": "sagemaker_program_x"}, "net.Name", "belongs to the platform"),
    ({"net.Name": "_tuning_objective_metric"}, "net.Name", "belongs to the platform"),
    # grid
    (grid(5, 4) | INTEGERS, "depth", "'++model.depth'"),
    (grid(5, 4) | REALS, "ema", "'ema' does not"),
    (grid(5, 4) | {"jobs": 19}, "jobs", "19 training jobs for 20 combinations"),
    (grid(30, 26), "space.CategoricalParameterRanges", "780 combinations"),
    # hyperband
    (hyperband(1, 10) | {"stopping": "Auto"}, "stopping", "does not go with Hyperband"),
    (hyperband(11, 10), "band.MinResource", "11 is above MaxResource (10)"),
    (hyperband(1, 20_001), "band.MaxResource", "20001 epochs"),
    (hyperband(1, GONE), "band.MaxResource", "is missing"),
    (hyperband(1, 10) | {"config.StrategyConfig": GONE}, "band.MaxResource", "is missing"),
    (hyperband(1, 10) | {"config.Strategy": "Random"}, "config.StrategyConfig", "is set"),
    # scales and bounds
    ({"lr.MinValue": "0"}, "lr.MinValue", "'0' has no logarithm"),
    ({"depth.ScalingType": "Logarithmic"}, "depth.MinValue", "'-1' has no logarithm"),
    ({"depth.ScalingType": "ReverseLogarithmic"}, "depth.ScalingType", "does not go with integers"),
    ({"ema.MaxValue": "1"}, "ema.MaxValue", "'1' is not below 1"),
    ({"ema.MinValue": "-0.1"}, "ema.MinValue", "'-0.1' is below 0"),
    ({"lr.MaxValue": "1e-5"}, "lr.MaxValue", "'1e-5' is below MinValue ('1e-4')"),
    ({"lr.MaxValue": "0.0001"}, "lr.MaxValue", "the range of 'optimizer.lr' holds nothing but '1e-4'"),
    ({"depth.MaxValue": "-1"}, "depth.MaxValue", "the range of '++model.depth' holds nothing but"),
    ({"depth.MaxValue": "5.0"}, "depth.MaxValue", "'5.0' is no whole number"),
    ({"lr.MaxValue": "one"}, "lr.MaxValue", "'one' is no finite number"),
    ({"lr.MaxValue": "nan"}, "lr.MaxValue", "'nan' is no finite number"),
    ({"lr.MaxValue": "1e999"}, "lr.MaxValue", "'1e999' is no finite number"),
    ({"net.Values": ["a", "b", "a"]}, "net.Values[2]", "'a' is there twice"),
    ({"space": {}}, "space", "holds nothing to search"),
    ({"space.AutoParameters": [{"Name": "x", "ValueHint": "1"}]}, "space.AutoParameters", "without Autotune"),
    ({"space.ContinuousParameterRanges": GONE, "jobs": 22}, "jobs", "22 training jobs, but only 21"),
    # objective, metrics, stopping
    ({"objective.MetricName": "val_accuracy"}, "objective.MetricName", "no metric 'val_accuracy' is defined"),
    ({"metrics": GONE}, "objective.MetricName", "no metric 'val_acc' is defined"),
    ({"metrics[0].Regex": "val_acc=([0-9"}, "metrics[0].Regex", "is no regular expression"),
    ({"metrics[0].Regex": "val_acc=[0-9.]+;"}, "metrics[0].Regex", "captures nothing"),
    ({"metrics[0].Regex": "val_acc=([0-9]+(\\.[0-9]+)?);"}, "metrics[0].Regex", "has 2 groups"),
    ({"objective": GONE}, "objective", "missing"),
    ({"objective": GONE}, "stopping", "'Auto' without an objective"),
    ({"objective": GONE}, "config.TuningJobCompletionCriteria", "is set without an objective"),
    # spot, times, instances
    ({"spot": True}, "wait", "is missing, and spot training needs it"),
    ({"spot": True, "wait": 14399}, "wait", "14399 s is less than the run may take"),
    ({"spot": True, "wait": 86399, "run": GONE}, "wait", "86399 s is less than the run may take"),
    ({"wait": 20_000}, "wait", "is set without spot"),
    ({"spot": True, "wait": 20_000, "resources.KeepAlivePeriodInSeconds": 60},
     "resources.KeepAlivePeriodInSeconds", "does not go with spot training"),
    ({"run": 2_419_201}, "run", "2419201 s is too long"),
    ({"flexible": FALLBACK}, "flexible", "is set beside ResourceConfig"),
    ({"resources": GONE}, "resources", "is missing"),
    (
        {"resources": GONE, "flexible": {**FALLBACK, "VolumeSizeInGB": 30}}, "flexible.VolumeSizeInGB",
        "does not go with InstanceConfigs",
    ),
    ({"resources": GONE, "flexible": {"VolumeSizeInGB": 30}}, "flexible.InstanceType", "is missing"),
    ({"resources.VolumeKmsKeyId": KEY}, "resources.VolumeKmsKeyId", "ml.g5.xlarge has local"),
    ({"resources.InstanceCount": 0}, "resources.InstanceCount", "0 instances"),
    ({"job.OutputDataConfig.KmsKeyId": "my-key"}, "job.OutputDataConfig.KmsKeyId", "neither a key nor"),
    # channels
    ({"s3.S3Uri": "s3://bucket/data"}, "s3.S3Uri", "'s3://bucket/data' is no whole folder"),
    ({"s3.S3DataType": "ManifestFile"}, "s3.S3DataType", "'ManifestFile' does not go with"),
    ({"job.InputDataConfig": [CHANNEL, CHANNEL]}, "job.InputDataConfig[1].ChannelName", "'data' is there"),
    ({"channel.DataSource": {}}, "channel.DataSource", "has 0 sources"),
    ({"channel.CompressionType": "Gzip"}, "channel.CompressionType", "'Gzip' does"),
    ({"channel.DataSource": {"FileSystemDataSource": FILES}}, "channel.InputMode", "'FastFile' reads S3"),
    (
        {"channel.DataSource": {"FileSystemDataSource": FILES}, "job.VpcConfig": GONE},
        "channel.DataSource.FileSystemDataSource", "without VpcConfig",
    ),
    ({"algorithm.AlgorithmName": "mine"}, "algorithm.AlgorithmName", "beside TrainingImage"),
    ({"algorithm.TrainingImage": GONE}, "algorithm.TrainingImage", "is missing"),
    # warm start
    ({"parents[0].HyperParameterTuningJobName": "SWEEP-b2-20260102-030405"},
     "parents[0].HyperParameterTuningJobName", "is the job itself"),
    ({"parents[1]": {"HyperParameterTuningJobName": "Sweep-b2-older"}},
     "parents[1].HyperParameterTuningJobName", "'Sweep-b2-older' is there twice"),
    ({"parents": [{}]}, "parents[0].HyperParameterTuningJobName", "is missing"),
    # one definition or several
    ({"job": GONE}, "job", "is missing"),
    ({"job.TuningObjective": OBJECTIVE}, "job.TuningObjective", "does not go with a single"),
    ({"job.HyperParameterRanges": RANGES}, "job.HyperParameterRanges", "does not go with a single"),
    (several(2) | {"job": DEFINITION}, "defs", "is set beside TrainingJobDefinition"),
    (several(2) | {"space": RANGES}, "space", "does not go with TrainingJobDefinitions"),
    (several(2) | {"objective": OBJECTIVE}, "objective", "does not go with TrainingJobDefinitions"),
    (several(2) | {"defs[1].DefinitionName": GONE}, "defs[1].DefinitionName", "is missing"),
    (several(2) | {"defs[1].DefinitionName": "part-0"}, "defs[1].DefinitionName", "'part-0' is"),
    (several(2) | {"defs[1].TuningObjective": GONE}, "defs[1].TuningObjective", "is missing"),
    (several(2) | {"defs[1].HyperParameterRanges": GONE}, "defs[1].HyperParameterRanges", "nothing"),
    (several(8), "defs", "32 searched hyperparameters"),
    (several(2) | {f"defs[{i}].Environment": VARIABLES for i in (0, 1)}, "defs", "50 environment"),
    (several(2) | {"stopping": "Auto"}, "stopping", "'Auto' does not go with several definitions"),
    (several(2) | {"WarmStartConfig": WARM}, "WarmStartConfig", "several definitions"),
    # tags
    ({"Tags[2]": {"Key": "Größe", "Value": ""}}, "Tags[2].Key", "tag 'Größe' is there twice"),
    ({"Tags[0].Key": "AWS:owner"}, "Tags[0].Key", "reserved prefix"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "path", "message"), BAD, ids=lambda value: str(value)[:60])
def test_a_bad_tuning_job_is_told(changes: dict[str, Any], path: str, message: str) -> None:
    found = violations(TUNING, spoiled(TUNING, changes))
    assert [one for one in found if one.path == full(path) and message in one.message], found
    assert all(one.message and one.allowed for one in found)


def test_one_mistake_is_told_once() -> None:
    alone = [changes for changes, path, _ in BAD if len(violations(TUNING, spoiled(TUNING, changes))) == 1]
    assert len(alone) > 0.8 * len(BAD)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        grid(30, 25),
        grid(5, 4) | {"jobs": 20},
        hyperband(1, 10),
        hyperband(GONE, 20_000),
        several(1),
        several(7),
        {"jobs": 10_000, "config.Strategy": "Random"},
        {"jobs": GONE},
        {"limits.MaxParallelTrainingJobs": 100, "jobs": 100},
        {"spot": True, "wait": 14400},
        {"spot": True, "wait": 86400, "run": GONE},
        {"space.ContinuousParameterRanges": GONE, "jobs": 21},
        {"resources": GONE, "flexible": FALLBACK},
        {"resources": GONE, "flexible": {**FALLBACK, "VolumeKmsKeyId": KEY}},
        {"space": {"AutoParameters": [{"Name": "lr", "ValueHint": "0.1"}]}, "Autotune": {"Mode": "Enabled"}},
        {"static": {f"k{i}": "v" * 2500 for i in range(95)}},
        {"s3.S3Uri": "s3://bucket/data", "channel.InputMode": "File"},
        {"net.Values": ["null"]},
        {"algorithm": {"AlgorithmName": "mine", "TrainingInputMode": "File"}},
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_good_tuning_job_passes(changes: dict[str, Any]) -> None:
    assert violations(TUNING, spoiled(TUNING, changes)) == []
