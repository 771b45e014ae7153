"""What never changes in a run stands in one file, not in every checkpoint.

A frozen backbone is nearly all of a checkpoint, and writing it takes longer than an epoch on cached
features. While a run trains, its checkpoints leave it out and name ``frozen-<mark>.ckpt`` beside them; the
ones that it ends with are whole again, as anybody's tool expects them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KEY = "frozen"  # of what a checkpoint leaves out (a module's word), or has left out (in a file)
_NAME = "frozen-{}.ckpt"
Write = Callable[[Path, dict[str, Any]], None]


class Incomplete(Exception):
    """A checkpoint leaves out what cannot be found; the message says why."""


def describe(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a module puts under `KEY` of its checkpoints: names of what never changes, and their mark."""
    return {"names": list(weights), "mark": fingerprint(weights)[:16]}


def split(checkpoint: dict[str, Any], folder: Path, write: Write) -> dict[str, Any]:
    """``checkpoint`` without what its module says never changes, which is in ``folder`` afterwards.

    Args:
        checkpoint: with ``state_dict``; stays as it is.
        folder: where the checkpoint goes.
        write: writes a file whole or not at all.
    """
    state, said = checkpoint["state_dict"], checkpoint[KEY]
    path = _file(folder, said["mark"])
    if not path.exists():
        write(path, {name: state[name] for name in said["names"]})
    names = set(said["names"])
    rest = {name: value for name, value in state.items() if name not in names}
    return {**checkpoint, "state_dict": rest}


def complete(checkpoint: Any, folder: Path) -> Any:
    """``checkpoint`` with what it left out, from ``folder``; whatever else it may be, as it is.

    Raises:
        Incomplete: the file is missing, broken, or another one.
    """
    if not isinstance(checkpoint, dict) or KEY not in checkpoint:
        return checkpoint
    path = _file(folder, str(checkpoint[KEY]["mark"]))
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        mark = fingerprint(kept)[:16]
    except Exception as error:  # whatever a broken file makes a parser raise
        raise Incomplete(f"its frozen weights, {path}, cannot be read ({type(error).__name__})") from error
    if mark != checkpoint[KEY]["mark"]:
        raise Incomplete(f"its frozen weights, {path}, were changed")
    return {**without(checkpoint), "state_dict": {**kept, **checkpoint["state_dict"]}}


def is_there(folder: Path) -> bool:
    """Whether any checkpoint of ``folder`` may have left something out."""
    return any(folder.glob(_NAME.format("*")))


def without(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A whole ``checkpoint``, which needs no word on what could be left out."""
    return {name: value for name, value in checkpoint.items() if name != KEY}


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 in hex of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _file(folder: Path, mark: str) -> Path:
    if not mark.isalnum():  # it becomes part of a path
        raise Incomplete(f"its mark {mark!r} is none")
    return folder / _NAME.format(mark)
