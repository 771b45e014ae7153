"""The resume checkpoints of a run folder: the last one, and the one before in case it is broken."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from sweepmaker.config.errors import UserError
from sweepmaker.run import atomic

log = logging.getLogger(__name__)

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"
FORMAT = 1  # of what stands under EXTRA
EXTRA = "sweepmaker"  # what Lightning does not keep: random states, sums, position, rows


_OBJECTS = ("hyper_parameters", "hparams_name", "hparams_type", "datamodule_hyper_parameters",
            "datamodule_hparams_name", "datamodule_hparams_type")  # fmt: skip


class PlainCheckpoints(TorchCheckpointIO):
    """Lightning's writer without what ``save_hyperparameters`` adds: objects that only pickle can load.

    The configuration stands in ``.hydra/``; a checkpoint that holds it as objects could not be read
    with ``weights_only``.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        super().save_checkpoint(plain(checkpoint), path, storage_options)


def plain(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """``checkpoint`` without the hyperparameters that modules keep."""
    return {name: value for name, value in checkpoint.items() if name not in _OBJECTS}


def save(folder: Path, checkpoint: dict[str, Any]) -> None:
    """Write ``last.ckpt`` so that it is whole or absent; the one before becomes ``previous.ckpt``.

    Raises:
        UserError: the disk is full or the folder cannot be written; both files are as they were.
    """
    last = folder / LAST
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(folder / "next.ckpt") as temporary:
            torch.save(plain(checkpoint), temporary)
        if last.exists():
            last.replace(folder / PREVIOUS)
        (folder / "next.ckpt").replace(last)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise UserError(
            f"could not write the checkpoint {last}: {_reason(error)}",
            fix=f"free disk space, then continue with: python train.py resume={folder.parent}",
        ) from error


def load_latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint of ``folder``, or None where there is none.

    A broken one is named and passed over. Nothing is unpickled (``weights_only``).

    Raises:
        UserError: there are checkpoints, and all of them are broken.
    """
    found = [path for name in ("next.ckpt", LAST, PREVIOUS) if (path := folder / name).exists()]
    for path in found:
        problem, checkpoint = _load(path)
        if checkpoint is not None:
            return path, checkpoint
        log.warning("%s is broken (%s); trying the one before", path, problem)
    if found:
        raise UserError(
            f"no checkpoint in {folder} can be read",
            fix=f"start again in a new folder, or remove {folder}",
        )
    return None


def _load(path: Path) -> tuple[str, dict[str, Any] | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # torch itself does not look at the checksums
        if broken is not None:
            return f"checksum of {broken}", None
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a broken file makes a parser raise
        return _reason(error), None
    if not isinstance(checkpoint, dict) or EXTRA not in checkpoint:
        return "not written by this program", None
    if checkpoint[EXTRA].get("format") != FORMAT:
        return f"of format {checkpoint[EXTRA].get('format')}, this version reads {FORMAT}", None
    return "", checkpoint


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
