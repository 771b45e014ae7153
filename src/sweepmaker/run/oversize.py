"""A batch that the device's memory or the network's batch norms cannot take: one message, what to change."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig

from sweepmaker.config.errors import UserError

# as torch says it on each device: CUDA has a class for it, MPS and the CPU only a text
_NO_MEMORY = ("out of memory", "can't allocate memory")
_ONE_VALUE = "Expected more than 1 value per channel when training"


def explained(error: BaseException, cfg: DictConfig) -> UserError | None:
    """What to tell of ``error``; None where it is another one.

    Args:
        error: what came out of training or testing.
        cfg: the run's config.
    """
    if isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    ):
        return _no_memory(error, cfg)
    if isinstance(error, ValueError) and str(error).startswith(_ONE_VALUE):
        return _one_value(cfg)
    return None


def _no_memory(error: BaseException, cfg: DictConfig) -> UserError:
    size = cfg.get("batch_size")
    fix = "a smaller image_size or network"
    if isinstance(size, int) and size > 1:
        batches = 2 * _setting(cfg, "trainer", "accumulate_grad_batches", 1)
        fix = (
            f"batch_size={size // 2} trainer.accumulate_grad_batches={batches} (the same images a step "
            f"of the optimizer), or {fix}"
        )
    if _setting(cfg, "trainer", "precision", "") == "32-true":
        fix += "; with trainer.precision=bf16-mixed activations take half"
    return UserError(
        f"the memory does not suffice for this batch: {_how_much(error)}", key="batch_size", fix=fix
    )


def _one_value(cfg: DictConfig) -> UserError:
    pixels = f" of {cfg.image_size} px" if cfg.get("image_size") else ""
    return UserError(
        f"this network's batch norms need more than one value a channel, and one image{pixels} gives them "
        "only one in its last layers",
        key="batch_size",
        allowed="a whole number from 2",
        fix="batch_size=2 or more, or a larger image_size",
    )


def _setting(cfg: DictConfig, part: str, key: str, default: Any) -> Any:
    settings = cfg.get(part)
    return default if settings is None else settings.get(key, default)


def _how_much(error: BaseException) -> str:
    """How much was wanted and what there is, without torch's advice on its allocator."""
    text = " ".join(str(error).split())
    return text.split(" Of the allocated memory")[0].split(" Including non-PyTorch")[0][:300]
