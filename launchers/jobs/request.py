"""The requests, as complete plain dicts: config in, dict out, nothing sent.

Not by the SDK's tuner, which drops fields (docs/sagemaker-sdk.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from omegaconf import DictConfig, OmegaConf

from launchers.jobs.strategy import Search
from launchers.limits import has_local_storage
from sweepmaker.metrics import line

PROGRAM = "src/sweepmaker/container/entry.py"
MODES = {"max": "Maximize", "min": "Minimize"}
USUAL_METRICS = (
    "valid/loss", "valid/top1", "valid/top5", "valid/f1", "train/loss", "train/top1", "test/loss",
    "test/top1", "lr", "debugger/findings",
)  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What the request refers to and the config does not say.

    Attributes:
        name: of the job.
        image: URI.
        role: ARN.
        root: ``s3://bucket/prefix``, without a slash at the end.
        code: S3 URI of the source bundle.
        code_channel: the bundle comes by a channel instead of being fetched by the container.
        channels: name to S3 URI.
        environment: variables of the container.
        tags: key to value.
    """

    name: str
    image: str
    role: str
    root: str
    code: str
    code_channel: bool = False
    channels: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def tuning_request(cfg: DictConfig, search: Search, parts: Parts) -> dict[str, Any]:
    """The arguments of ``create_hyper_parameter_tuning_job``."""
    request: dict[str, Any] = {
        "HyperParameterTuningJobName": parts.name,
        "HyperParameterTuningJobConfig": _tuning_config(cfg, search),
        "TrainingJobDefinition": _trial(cfg, parts),
    }
    if cfg.job.warm_start.parents:
        request["WarmStartConfig"] = {
            "ParentHyperParameterTuningJobs": [
                {"HyperParameterTuningJobName": str(name)} for name in cfg.job.warm_start.parents
            ],
            "WarmStartType": cfg.job.warm_start.type,
        }
    request["Tags"] = _tags(parts)
    return request


def training_request(cfg: DictConfig, parts: Parts) -> dict[str, Any]:
    """The arguments of ``create_training_job``."""
    trial = _trial(cfg, parts)
    return {
        "TrainingJobName": parts.name,
        "HyperParameters": trial.pop("StaticHyperParameters"),
        **trial,
        "Tags": _tags(parts),
    }


def objective_metric(cfg: DictConfig) -> str:
    """The metric that the tuner compares: the best so far, since SageMaker takes the last value."""
    return f"{cfg.objective.name}_best"


def _tuning_config(cfg: DictConfig, search: Search) -> dict[str, Any]:
    job = cfg.job
    parallel = min(job.max_parallel_jobs, search.jobs)
    limits = {"MaxNumberOfTrainingJobs": search.jobs, "MaxParallelTrainingJobs": parallel}
    if job.max_tuning_s is not None:
        limits["MaxRuntimeInSeconds"] = job.max_tuning_s
    config: dict[str, Any] = {
        "Strategy": search.strategy,
        "HyperParameterTuningJobObjective": {
            "Type": MODES[cfg.objective.mode],
            "MetricName": objective_metric(cfg),
        },
        "ResourceLimits": limits,
        "ParameterRanges": _ranges(search),
        "TrainingJobEarlyStoppingType": search.early_stopping,
    }
    if search.strategy == "Hyperband":
        config["StrategyConfig"] = {
            "HyperbandStrategyConfig": {
                "MinResource": job.hyperband.min_epochs,
                "MaxResource": job.hyperband.max_epochs,
            }
        }
    if completion := _completion(job.completion):
        config["TuningJobCompletionCriteria"] = completion
    if search.seed is not None:
        config["RandomSeed"] = search.seed
    return config


def _ranges(search: Search) -> dict[str, Any]:
    ranges: dict[str, list[dict[str, Any]]] = {"Integer": [], "Continuous": [], "Categorical": []}
    for one in search.space.ranges:
        entry: dict[str, Any] = {"Name": one.name}
        if one.kind == "Categorical":
            entry["Values"] = list(one.values)
        else:
            entry |= {"MinValue": one.low, "MaxValue": one.high, "ScalingType": one.scaling}
        ranges[one.kind].append(entry)
    return {f"{kind}ParameterRanges": entries for kind, entries in ranges.items() if entries}


def _completion(asked: DictConfig) -> dict[str, Any]:
    criteria: dict[str, Any] = {}
    if asked.target is not None:
        criteria["TargetObjectiveMetricValue"] = float(asked.target)
    if asked.not_improving_jobs is not None:
        criteria["BestObjectiveNotImproving"] = {
            "MaxNumberOfTrainingJobsNotImproving": asked.not_improving_jobs
        }
    if asked.on_convergence:
        criteria["ConvergenceDetected"] = {"CompleteOnConvergence": "Enabled"}
    return criteria


def _trial(cfg: DictConfig, parts: Parts) -> dict[str, Any]:
    where, job = cfg.where, cfg.job
    output: dict[str, Any] = {"S3OutputPath": f"{parts.root}/jobs/"}
    if where.kms_key:
        output["KmsKeyId"] = where.kms_key
    trial: dict[str, Any] = {
        "StaticHyperParameters": {
            "sagemaker_program": PROGRAM,
            "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz"
            if parts.code_channel
            else parts.code,
        },
        "AlgorithmSpecification": {
            "TrainingImage": parts.image,
            "TrainingInputMode": job.input_mode,
            "MetricDefinitions": metric_definitions(cfg),
        },
        "RoleArn": parts.role,
    }
    if channels := _channels(cfg, parts):
        trial["InputDataConfig"] = channels
    if where.subnets:
        trial["VpcConfig"] = {
            "SecurityGroupIds": list(where.security_groups),
            "Subnets": list(where.subnets),
        }
    trial |= {"OutputDataConfig": output, **_machines(cfg), "StoppingCondition": _stopping(job)}
    trial |= {
        "EnableNetworkIsolation": where.network_isolation,
        "EnableInterContainerTrafficEncryption": where.encrypt_traffic,
        "EnableManagedSpotTraining": job.spot,
    }
    if job.checkpoints:
        trial["CheckpointConfig"] = {"S3Uri": f"{parts.root}/checkpoints/{parts.name}/"}
    if job.retries is not None:
        trial["RetryStrategy"] = {"MaximumRetryAttempts": job.retries}
    trial["Environment"] = {
        "PYTHONUNBUFFERED": "1",  # or every line arrives at the end, and no trial stops early
        **parts.environment,
        **{str(name): str(value) for name, value in (job.environment or {}).items()},
    }
    return trial


def metric_definitions(cfg: DictConfig) -> list[dict[str, str]]:
    """The objective first, then the usual metrics and ``job.metrics``."""
    asked = (objective_metric(cfg), cfg.objective.name, *USUAL_METRICS, *cfg.job.metrics)
    return [{"Name": name, "Regex": line.regex(name)} for name in dict.fromkeys(map(str, asked))]


def _channels(cfg: DictConfig, parts: Parts) -> list[dict[str, Any]]:
    places = dict(parts.channels) | {str(name): str(uri) for name, uri in (cfg.job.channels or {}).items()}
    channels = [_channel(name, uri, cfg.job.input_mode) for name, uri in places.items()]
    if parts.code_channel:  # a single small file, which FastFile has no use for
        channels.append(_channel("code", parts.code.rpartition("/")[0] + "/", "File"))
    return channels


def _channel(name: str, uri: str, mode: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": mode}


def _machines(cfg: DictConfig) -> dict[str, Any]:
    where, job = cfg.where, cfg.job
    resources: dict[str, Any]
    if job.instances:
        wanted = [
            {"InstanceType": str(one.type), "InstanceCount": one.get("count", 1),
             "VolumeSizeInGB": one.get("volume_gb", job.volume_gb)}
            for one in job.instances
        ]  # fmt: skip
        resources = {"InstanceConfigs": wanted, "AllocationStrategy": "Prioritized"}
        key = "HyperParameterTuningResourceConfig"
    else:
        resources = {
            "InstanceType": job.instance_type,
            "InstanceCount": job.instance_count,
            "VolumeSizeInGB": job.volume_gb,
        }
        if job.keep_alive_s:
            resources["KeepAlivePeriodInSeconds"] = job.keep_alive_s
        key = "ResourceConfig"
    types = [one.type for one in job.instances] or [job.instance_type]
    # local disks are encrypted by their hardware, and SageMaker refuses a key for them
    if where.kms_key and not any(has_local_storage(str(one)) for one in types):
        resources["VolumeKmsKeyId"] = where.kms_key
    return {key: resources}


def _stopping(job: DictConfig) -> dict[str, int]:
    condition = {"MaxRuntimeInSeconds": job.max_runtime_s}
    if job.spot:
        condition["MaxWaitTimeInSeconds"] = job.max_wait_s or 2 * job.max_runtime_s
    if job.max_pending_s is not None:
        condition["MaxPendingTimeInSeconds"] = job.max_pending_s
    return condition


def _tags(parts: Parts) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in parts.tags.items()]


def plain(node: Any) -> Any:
    """A config node as plain values."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
