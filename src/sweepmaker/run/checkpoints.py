"""The resume checkpoints of a run folder: the last one, and the one before in case it is broken."""

from __future__ import annotations

import contextlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging

from sweepmaker.config.errors import UserError
from sweepmaker.models import frozen
from sweepmaker.run import atomic, disk

log = logging.getLogger(__name__)

NEXT = "next.ckpt"  # whole, and not yet in its place
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

    Args:
        run: the run's folder, for the message of a full disk; None where it cannot be continued.
    """

    def __init__(self, run: Path | None = None) -> None:
        self._run = run
        self._frozen: frozen.Frozen | None = None

    @contextlib.contextmanager
    def leaving_out(self, what: frozen.Frozen | None) -> Iterator[None]:
        """Checkpoints that are saved meanwhile leave out what never changes."""
        self._frozen = what
        try:
            yield
        finally:
            self._frozen = None

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        if "://" in str(path):  # a callback of the user's, which keeps its files elsewhere
            super().save_checkpoint(plain(checkpoint), path, storage_options)
            return
        with disk.naming(path, RuntimeError, resume=self._run):
            _write(Path(path), _thin(checkpoint, Path(path).parent, self._frozen))

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """As Lightning's, and with what was left out of it.

        Raises:
            UserError: that cannot be found.
        """
        loaded = super().load_checkpoint(path, *args, **kwargs)
        return loaded if "://" in str(path) else _whole(loaded, Path(path))


def plain(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """``checkpoint`` without the hyperparameters that modules keep."""
    return {name: value for name, value in checkpoint.items() if name not in _OBJECTS}


def save(folder: Path, checkpoint: dict[str, Any], leave_out: frozen.Frozen | None = None) -> None:
    """Write ``last.ckpt`` so that it is whole or absent; the one before becomes ``previous.ckpt``.

    Args:
        folder: of the checkpoints.
        checkpoint: what `load_latest` gives back.
        leave_out: what never changes in this run, and stands in a file of its own.

    Raises:
        UserError: the disk is full or the folder cannot be written; both files are as they were.
    """
    last = folder / LAST
    with disk.naming(last, RuntimeError, resume=folder.parent):  # torch's word for a full disk
        _write(folder / NEXT, _thin(checkpoint, folder, leave_out))
        _shift(folder)


def make_whole(path: Path) -> None:
    """Put back into a checkpoint what it left out; the run is over and others may want to read it.

    Raises:
        UserError: what it left out cannot be found, or the disk is full.
    """
    if not frozen.is_there(path.parent):
        return  # a module of the user's own: its checkpoint may hold what only pickle can load
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if frozen.KEY in checkpoint:
        with disk.naming(path, RuntimeError):
            _write(path, _whole(checkpoint, path))


def read(path: Path) -> dict[str, Any]:
    """A checkpoint with all that belongs to it. Nothing is unpickled.

    Raises:
        UserError: what it left out cannot be found.
        Exception: whatever a broken file makes a parser raise.
    """
    found: dict[str, Any] = _whole(torch.load(path, map_location="cpu", weights_only=True), path)
    return found


def settle(folder: Path) -> None:
    """Finish what a process that was killed in the middle of `save` had begun.

    A run that had nothing left to train saves no more, and would be left without ``last.ckpt``.
    """
    if (folder / NEXT).exists():
        with contextlib.suppress(FileNotFoundError):  # another process of the run did it
            _shift(folder)


def _shift(folder: Path) -> None:
    if (folder / LAST).exists():
        (folder / LAST).replace(folder / PREVIOUS)
    (folder / NEXT).replace(folder / LAST)


def _write(path: Path, checkpoint: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic.replacing(path) as temporary:
        torch.save(plain(checkpoint), temporary)


def frozen_of(trainer: Trainer) -> frozen.Frozen | None:
    """What of the trainer's module its checkpoints may leave out.

    Nothing where another's writer would have to put it back, or where averaged weights (callbacks=ema)
    take the place of the trained ones.
    """
    names = getattr(trainer.lightning_module, "frozen_names", None)
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    averages = any(isinstance(callback, WeightAveraging) for callback in callbacks)
    if not callable(names) or averages or not isinstance(trainer.strategy.checkpoint_io, PlainCheckpoints):
        return None
    return frozen.Frozen(names())


def _thin(checkpoint: dict[str, Any], folder: Path, what: frozen.Frozen | None) -> dict[str, Any]:
    return checkpoint if what is None else what.leave_out(checkpoint, folder, _write)


def _whole(checkpoint: Any, path: Path) -> Any:
    try:
        return frozen.complete(checkpoint, path.parent)
    except frozen.Incomplete as error:
        raise UserError(f"{path} is not complete: {error}", fix=f"keep {path.parent} together") from error


def load_latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """The newest whole checkpoint of ``folder``, or None where there is none.

    A broken one is named and passed over. Nothing is unpickled (``weights_only``). Where the frozen weights
    that all of them left out never came (a copy of the folder that broke off early), there is none.

    Raises:
        UserError: there are checkpoints, and all of them are broken.
    """
    found = [path for name in (NEXT, LAST, PREVIOUS) if (path := folder / name).exists()]
    for path in found:
        problem, checkpoint = _load(path)
        if checkpoint is not None:
            return path, checkpoint
        log.warning("%s is broken (%s); trying the one before", path, problem)
    if found and all(map(_lacks_frozen, found)):
        log.warning("the frozen weights of the checkpoints in %s are missing; the run begins anew", folder)
        return None
    if found:
        raise UserError(
            f"no checkpoint in {folder} can be read",
            fix=f"start again in a new folder, or remove {folder}",
        )
    return None


def _lacks_frozen(path: Path) -> bool:
    try:
        read(path)
    except UserError as error:
        cause = error.__cause__  # frozen.Incomplete, and why it is that
        return cause is not None and isinstance(cause.__cause__, FileNotFoundError)
    except Exception:  # whatever a broken file makes a parser raise
        return False
    return False


def _load(path: Path) -> tuple[str, dict[str, Any] | None]:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # torch itself does not look at the checksums
        if broken is not None:
            return f"checksum of {broken}", None
        checkpoint = read(path)
    except UserError as error:
        return error.message, None
    except Exception as error:  # whatever a broken file makes a parser raise
        return disk.reason(error), None
    if not isinstance(checkpoint, dict) or EXTRA not in checkpoint:
        return "not written by this program", None
    if checkpoint[EXTRA].get("format") != FORMAT:
        return f"of format {checkpoint[EXTRA].get('format')}, this version reads {FORMAT}", None
    return "", checkpoint
