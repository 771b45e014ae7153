"""What the rules have to know of a run to say what to change, and by which word on the command line."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from omegaconf import DictConfig, OmegaConf

from sweepmaker.run.environment import available_cores


def of_run(cfg: DictConfig, trainer: Trainer, data: LightningDataModule, threads: int) -> dict[str, Any]:
    """Facts of a run whose trainer and data are built.

    ``keys`` tells which of our config keys mean what they say: a module of the user's own may take others.
    """
    select = OmegaConf.select
    batch = select(cfg, "data.batch_size")
    decoded = getattr(data, "source_name", "folder") != "folder"  # their pixels lie in the file as they are
    named: dict[str, bool] = {
        "batch_size": batch is not None and batch == select(cfg, "batch_size"),
        "data.num_workers": select(cfg, "data.num_workers") is not None,
        "data.cache": select(cfg, "data.cache") is not None and not decoded,
        "trainer.threads": select(cfg, "trainer.threads") is not None,
        "trainer.check_val_every_n_epoch": select(cfg, "trainer.check_val_every_n_epoch") is not None,
    }
    return {
        "keys": [key for key, there in named.items() if there],
        "batch_size": batch,
        "cache": "disk" if getattr(data, "pixels", None) is not None else "none",
        "files": getattr(data, "root", None) is not None and not decoded,
        "augment": select(cfg, "data.augment.trivial_augment") is True,
        "cores": available_cores(),
        "threads": threads,
        "accelerator": type(trainer.accelerator).__name__.removesuffix("Accelerator").lower(),
        "precision": str(trainer.precision),
        "world_size": trainer.world_size,
        "processes": trainer.num_devices,  # on this machine; each has workers of its own
        "whole": whole_here(trainer),
        "nodes": trainer.num_nodes,
        "epochs": trainer.max_epochs,
        "accumulate": trainer.accumulate_grad_batches,
        "val_check_interval": trainer.val_check_interval,
        "check_val_every_n_epoch": trainer.check_val_every_n_epoch,
    }


def of_loader(trainer: Trainer) -> dict[str, Any]:
    """Facts of the training loader, whoever made it; known once training has begun."""
    loader: Any = trainer.train_dataloader
    names = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor", "batch_size")
    found = {name: getattr(loader, name, None) for name in names}
    known = {f"loader_{name}": value for name, value in found.items() if isinstance(value, int | None)}
    batches = float(trainer.num_training_batches)  # infinite where nobody knows
    return known | {
        "steps_per_epoch": math.ceil(batches / trainer.accumulate_grad_batches)
        if math.isfinite(batches)
        else None,
        # of a frozen backbone, in the place of images: only our own data can do that
        "features": hasattr(getattr(trainer, "datamodule", None), "use_features")
        and hasattr(getattr(loader, "dataset", None), "features"),
    }


def whole_here(trainer: Trainer) -> bool:
    """Whether the run's processes on this machine are this one and its children: torchrun's are siblings."""
    around = getattr(trainer.strategy, "cluster_environment", None)
    return trainer.num_devices == 1 or not getattr(around, "creates_processes_externally", False)


def gpu_places(trainer: Trainer) -> list[int]:
    """Numbers of the GPUs that this machine's processes of the run use, as torch counts them."""
    if not type(trainer.accelerator).__name__.startswith("CUDA"):
        return []
    return [int(place) for place in trainer.device_ids]


def gpu_uuids(places: list[int]) -> list[str]:
    """UUIDs of these GPUs, empty texts where torch does not know them."""
    return [str(getattr(torch.cuda.get_device_properties(place), "uuid", "")) for place in places]
