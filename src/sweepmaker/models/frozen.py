"""What never changes in a run stands in one file, not in every checkpoint.

A frozen backbone is nearly all of a checkpoint, and writing it takes longer than an epoch on cached
features. While a run trains, the checkpoints of its own folder leave it out and name ``frozen-<mark>.ckpt``
beside them; the ones that it ends with are whole again, as anybody's tool expects them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

KEY = "sweepmaker_frozen"  # in a checkpoint that left something out: the mark of what it left out
_NAME = "frozen-{}.ckpt"
Write = Callable[[Path, dict[str, Any]], None]


class Incomplete(Exception):
    """A checkpoint leaves out what cannot be found; the message says why."""


class Frozen:
    """The weights of one run that never change.

    Args:
        names: of theirs in the state dict.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._mark: str | None = None
        self._kept: set[Path] = set()

    def leave_out(self, checkpoint: dict[str, Any], folder: Path, write: Write) -> dict[str, Any]:
        """``checkpoint`` without them; they are in ``folder`` afterwards.

        Args:
            checkpoint: with ``state_dict``; stays as it is. One that lacks some of them (a part of a
                sharded network) is given back whole.
            folder: where the checkpoint goes.
            write: writes a file whole or not at all.
        """
        state = checkpoint["state_dict"]
        if not self._names or not all(name in state for name in self._names):
            return checkpoint
        weights = {name: state[name] for name in self._names}
        if self._mark is None:
            self._mark = _mark(weights)
        path = _file(folder, self._mark)
        if path not in self._kept or not path.exists():
            if not _is_whole(path, self._mark):
                write(path, weights)
            self._kept.add(path)
        rest = {name: value for name, value in state.items() if name not in weights}
        return {**checkpoint, "state_dict": rest, KEY: self._mark}


def complete(checkpoint: Any, folder: Path) -> Any:
    """``checkpoint`` with what it left out, from ``folder``; whatever else it may be, as it is.

    Raises:
        Incomplete: the file is missing, broken, or another one.
    """
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(KEY), str):
        return checkpoint
    path = _file(folder, checkpoint[KEY])
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True)
        mark = _mark(kept)
    except Exception as error:  # whatever a broken file makes a parser raise
        raise Incomplete(f"its frozen weights, {path}, cannot be read ({type(error).__name__})") from error
    if mark != checkpoint[KEY]:
        raise Incomplete(f"its frozen weights, {path}, were changed")
    whole = {name: value for name, value in checkpoint.items() if name != KEY}
    return {**whole, "state_dict": {**kept, **checkpoint["state_dict"]}}


def is_there(folder: Path) -> bool:
    """Whether any checkpoint of ``folder`` may have left something out."""
    return any(folder.glob(_NAME.format("*")))


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 in hex of names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _mark(weights: Mapping[str, Tensor]) -> str:
    return fingerprint(weights)[:16]


def _is_whole(path: Path, mark: str) -> bool:
    """Whether an earlier process of this run left the file, and nothing happened to it since."""
    try:
        return path.exists() and _mark(torch.load(path, map_location="cpu", weights_only=True)) == mark
    except Exception:  # whatever a broken file makes a parser raise: it is written anew
        return False


def _file(folder: Path, mark: str) -> Path:
    if not mark.isalnum():  # it becomes part of a path
        raise Incomplete(f"its mark {mark!r} is none")
    return folder / _NAME.format(mark)
