"""Device, precision and memory format where the config says ``auto``, each with its reason."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from omegaconf import DictConfig, OmegaConf
from torch import nn

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError
from sweepmaker.run import environment

_BF16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def trainer_arguments(cfg: DictConfig, choices: Choices) -> tuple[dict[str, Any], bool]:
    """The trainer node with every ``auto`` replaced, and whether to use channels_last.

    Raises:
        ConfigError: a device that this machine does not have.
    """
    node: dict[str, Any] = dict(OmegaConf.to_container(cfg.trainer, resolve=True))  # type: ignore[arg-type]
    node.pop("threads", None)
    node.pop("compile", None)
    memory_format = node.pop("memory_format", "auto")
    device = _device(node.get("accelerator", "auto"), choices)
    node["accelerator"] = device
    node["precision"] = _precision(node.get("precision", "auto"), device, choices)
    if memory_format == "auto":
        memory_format = "contiguous" if device == "mps" else "channels_last"
        reason = "not supported by this device" if device == "mps" else f"faster convolutions on {device}"
        choices.add("memory_format", memory_format, reason)
    return node, memory_format == "channels_last"


def _device(wanted: str, choices: Choices) -> str:
    if wanted != "auto":
        device = "gpu" if wanted == "cuda" else wanted
        if device == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
            raise ConfigError("this machine has no GPU that torch can use", key="trainer.accelerator",
                              allowed="cpu, auto", fix="trainer.accelerator=auto")  # fmt: skip
        return device
    if torch.cuda.is_available():
        choices.add("device", "gpu", f"{torch.cuda.get_device_name(0)}; more with trainer.devices=...")
        return "gpu"
    if torch.backends.mps.is_available():
        choices.add("device", "mps", "Apple GPU")
        return "mps"
    choices.add("device", "cpu", "no GPU found")
    return "cpu"


def _precision(wanted: Any, device: str, choices: Choices) -> Any:
    if wanted != "auto":
        return wanted
    if device == "gpu" and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            choices.add("precision", "bf16-mixed", "the GPU has bfloat16")
            return "bf16-mixed"
        choices.add("precision", "16-mixed", "the GPU has no bfloat16")
        return "16-mixed"
    choices.add("precision", "32-true", f"bfloat16 training does not pay on {device} at these image sizes")
    return "32-true"


def compile_network(model: LightningModule, backend: str | None) -> None:
    """``trainer.compile``: what is called as the network goes through torch.compile; names and weights stay.

    Raises:
        ConfigError: torch knows no such backend.
    """
    if backend is None:
        return
    known = torch.compiler.list_backends(exclude_tags=())
    if backend not in known:
        near = get_close_matches(backend, known, n=1)
        raise ConfigError(f"torch.compile has no backend {backend!r}", key="trainer.compile",
                          allowed=f"null, {', '.join(known)}",
                          fix=f"trainer.compile={near[0] if near else 'inductor'}")  # fmt: skip
    network = getattr(model, "network", None)
    (network if isinstance(network, nn.Module) else model).compile(backend=backend)


def reduced_features(trainer: Trainer) -> tuple[bool, str]:
    """Whether a frozen backbone computes training images in bfloat16 though the trainer does not, and why.

    A forward pass alone is 1.2 to 2.2 times as fast with the instructions for it, and slower without.
    """
    device = trainer.strategy.root_device.type
    if trainer.precision != "32-true" or device != "cpu":
        return False, "as the trainer's"
    if not (found := sorted(_BF16_INSTRUCTIONS & environment.cpu_flags())):
        return False, "the CPU has no instructions for bfloat16"
    return True, f"training images only, without gradients: the CPU has {', '.join(found)}"


def gpu_names() -> list[str]:
    """Names of the GPUs that torch sees."""
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
