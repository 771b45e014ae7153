"""The model artifact (contract 4): weights, how to build the net, how to prepare an image, the code."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError
from safetensors.torch import save_file

from sweepmaker.run import atomic, checkpoints, disk, environment, source_code


def export(
    folder: Path,
    model: LightningModule,
    data: LightningDataModule,
    cfg: DictConfig,
    best: Path | None,
) -> None:
    """Write ``model.safetensors``, ``model.json`` and ``code/`` to ``folder``, whole or not at all.

    Args:
        folder: the run's ``model`` folder; an earlier one is replaced.
        model: the trained module; left as it is.
        data: knows classes and transform.
        cfg: the run's config.
        best: the checkpoint with the best weights; None for those that ``model`` has now.

    Raises:
        UserError: the disk is full; what was there before is still there.
    """
    weights = _network_weights(model, best)
    spec = getattr(data, "transform_spec", None)
    description: dict[str, Any] = {
        "schema": 1,
        "architecture": _architecture(model, cfg),
        "classes": list(getattr(data, "class_names", None) or []),
        "transform": spec() if callable(spec) else None,
        "versions": environment.versions(),
    }
    with disk.naming(folder, SafetensorError, resume=folder.parent):
        temporary = Path(tempfile.mkdtemp(prefix=".model.", dir=folder.parent))
        try:
            save_file(weights, temporary / "model.safetensors")
            description["weights"] = {"sha256": _digest(temporary / "model.safetensors")}
            atomic.write_json(temporary / "model.json", description)
            source_code.copy(temporary / "code", type(model))
            _add_handler(temporary / "code")
            temporary.chmod(0o755)
            atomic.replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _add_handler(code: Path) -> None:
    """``inference.py``, where AWS's inference toolkit looks for its four functions."""
    file = code / "inference.py"
    if not file.exists():  # else it is the user's own
        names = "input_fn, model_fn, output_fn, predict_fn"
        file.write_text(f"from sweepmaker.serving.inference import {names}  # noqa: F401\n", encoding="utf-8")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _network_weights(model: LightningModule, best: Path | None) -> dict[str, torch.Tensor]:
    weights = model.state_dict() if best is None else checkpoints.read(best)["state_dict"]
    prefix = "network." if callable(getattr(model, "architecture", None)) else ""
    return {
        name.removeprefix(prefix): value.detach().cpu().contiguous().clone()
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _architecture(model: LightningModule, cfg: DictConfig) -> dict[str, Any]:
    describe = getattr(model, "architecture", None)
    if callable(describe):
        return dict(describe())
    node = OmegaConf.to_container(cfg.model, resolve=True)
    return {"target": f"{type(model).__module__}.{type(model).__qualname__}", "config": node}
