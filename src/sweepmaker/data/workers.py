"""How many processes load images, chosen by what the machine has."""

from __future__ import annotations

import torch

_MOST = 8  # enough for one fast GPU: a core decodes and crops about 800 photographs a second


def auto_workers(gpu: bool, cores: int, processes: int) -> tuple[int, str]:
    """The number of worker processes of each training process, and why.

    Args:
        gpu: the model runs on an accelerator.
        cores: cores that this machine's training processes share.
        processes: training processes on this machine.
    """
    if not gpu:
        return 0, "no GPU: decoding is a small part of a step, and the cores belong to the model"
    share = cores // max(1, processes)
    return max(0, min(share - 1, _MOST)), f"{share} core(s), one kept for the step, at most {_MOST}"


def device_type(accelerator: str) -> str:
    """What torch calls the device that Lightning's ``accelerator`` stands for on this machine."""
    if accelerator not in ("auto", "gpu"):
        return accelerator
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
