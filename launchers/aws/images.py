"""Which training image a job runs in."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from launchers.limits import has_gpu
from sweepmaker.config.errors import ConfigError

# The SDK's own table of AWS's images; read as a file, since importing the SDK takes seconds.
_TABLES = ("core", "image_uri_config")
PYTHON = "3.12"  # of these images


def training_image(region: str, instance_type: str, torch_version: str) -> str:
    """The URI of AWS's PyTorch training image for a region and a machine.

    Raises:
        ConfigError: AWS has none for the region or the version.
    """
    versions = sdk_table("pytorch-amzn2023")["training"]["versions"]
    entry = versions.get(torch_version)
    if entry is None:
        raise ConfigError(
            f"AWS has no PyTorch image {torch_version}", key="job.torch", allowed=", ".join(versions)
        )
    account = entry["registries"].get(region)
    if account is None:
        raise ConfigError(
            f"AWS's PyTorch image is not in {region}",
            key="where.region",
            allowed=", ".join(sorted(entry["registries"])),
            fix="another region, or job.image=<an image of your own>",
        )
    if instance_type.removeprefix("ml.").startswith(("trn", "inf", "p6e")):
        raise ConfigError(
            f"AWS's CPU and GPU images don't fit {instance_type} (Neuron, or an ARM processor)",
            key="job.instance_type",
            allowed="x86 machines, with or without NVIDIA GPUs",
            fix="job.image=<an image of your own> job.packages=image",
        )
    processor = "gpu" if has_gpu(instance_type) else "cpu"
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    tag = f"{entry['tag_prefix']}-{entry['container_version'][processor]}"
    return f"{account}.dkr.ecr.{region}.{suffix}/{entry['repository']}:{tag}"


def sdk_table(name: str) -> Any:
    """One of the SDK's tables of images.

    Raises:
        ConfigError: the SDK is not installed.
    """
    try:
        path = files("sagemaker").joinpath(*_TABLES, f"{name}.json")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ModuleNotFoundError, FileNotFoundError):
        raise ConfigError(
            "the table of AWS's images comes with the SageMaker SDK, which is not installed",
            key="job.image",
            fix="pip install 'sweepmaker[aws]', or job.image=<URI>",
        ) from None
