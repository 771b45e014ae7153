"""SageMaker's own Debugger and Profiler for one training job, for accounts that still have them.

The service closed to new customers on 2026-07-30, and its API has no place in tuning jobs; the rules
that run inside every trial need neither.
"""

from __future__ import annotations

from typing import Any

from launchers.aws.images import sdk_table
from sweepmaker.config.errors import ConfigError

# rule -> the tensors that it reads, as collections of the hook
RULES = {
    "VanishingGradient": ("gradients",),
    "ExplodingTensor": ("gradients",),
    "LossNotDecreasing": ("losses",),
    "Overfit": ("losses",),
    "Overtraining": ("losses",),
    "PoorWeightInitialization": ("weights",),
}
PROFILER_RULE = "ProfilerReport"  # runs every other profiler rule and writes their report
EVERY_N_STEPS = 25  # steps between two saves of a collection
SAMPLE_MS = 500  # between two system metrics


def fields(output: str, region: str) -> dict[str, Any]:
    """What ``debugger.managed=true`` adds to ``create_training_job``.

    Args:
        output: ``s3://`` folder for tensors and reports.
        region: of the job.

    Raises:
        ConfigError: the region has no rule image.
    """
    image = _rule_image(region)
    collections = sorted({name for needed in RULES.values() for name in needed})
    return {
        "DebugHookConfig": {
            "S3OutputPath": output,
            "CollectionConfigurations": [
                {"CollectionName": name, "CollectionParameters": {"save_interval": str(EVERY_N_STEPS)}}
                for name in collections
            ],
        },
        "DebugRuleConfigurations": [_rule(name, image) for name in RULES],
        "ProfilerConfig": {"S3OutputPath": output, "ProfilingIntervalInMilliseconds": SAMPLE_MS},
        "ProfilerRuleConfigurations": [_rule(PROFILER_RULE, image)],
    }


def _rule(name: str, image: str) -> dict[str, Any]:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {"rule_to_invoke": name},
    }


def _rule_image(region: str) -> str:
    registries = sdk_table("debugger")["versions"]["latest"]["registries"]
    account = registries.get(region)
    if account is None:
        raise ConfigError(
            f"SageMaker Debugger is not in {region}",
            key="debugger.managed",
            allowed=", ".join(sorted(registries)),
            fix="debugger.managed=false: the rules inside the trial need no service",
        )
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{account}.dkr.ecr.{region}.{suffix}/sagemaker-debugger-rules:latest"
