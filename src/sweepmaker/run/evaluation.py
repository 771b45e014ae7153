"""Measuring weights: the best of this run, or those of a checkpoint that the user names."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig, OmegaConf

from sweepmaker.callbacks.mistakes import Mistakes
from sweepmaker.config import argv
from sweepmaker.config.errors import ConfigError, UserError
from sweepmaker.metrics.confusion import write_confusion
from sweepmaker.run import checkpoints, disk
from sweepmaker.run.folder import RunFolder

log = logging.getLogger(__name__)


def best_checkpoint(trainer: Trainer) -> Path | None:
    """The file with the best weights of this run, if one was kept."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def test(
    trainer: Trainer,
    model: LightningModule,
    data: LightningDataModule,
    cfg: DictConfig,
    folder: RunFolder,
) -> None:
    """Measure the best weights on the test split; metric lines, ``metrics.csv`` and the confusion matrix.

    Raises:
        ConfigError: a checkpoint that does not fit the model or the data.
        UserError: the disk is full.
    """
    if not cfg.train:
        load_weights(model, cfg.ckpt_path)
        warn_of_other_data(cfg)
    elif (best := best_checkpoint(trainer)) is not None:
        load_weights(model, str(best))
    resume = folder.path if cfg.train else None
    counts = getattr(data, "counts", {"test": 1})
    has_loader = is_overridden("test_dataloader", data) and is_overridden("test_step", model)
    if not counts.get("test") or not has_loader:
        log.warning("there is no test split, or no test_step: nothing is tested")
        keep_confusion("valid", trainer, model, data, folder, resume)
        return
    mistakes = Mistakes()
    trainer.callbacks.append(mistakes)  # type: ignore[attr-defined]
    trainer.test(model, datamodule=data, verbose=False)
    trainer.callbacks.remove(mistakes)  # type: ignore[attr-defined]
    keep_confusion("test", trainer, model, data, folder, resume)
    if trainer.is_global_zero:
        with disk.naming(folder.path / "mistakes_test.csv and .png", resume=resume):
            mistakes.write(folder.path, "test", data, _names(data, mistakes.classes))


def keep_confusion(
    split: str,
    trainer: Trainer,
    model: LightningModule,
    data: LightningDataModule,
    folder: RunFolder,
    resume: Path | None,
) -> None:
    """Write the last confusion matrix of ``split`` as data and as a picture, if the module keeps one.

    Raises:
        UserError: it cannot be written; ``resume`` is the run's folder, where it can be continued.
    """
    confusion = getattr(model, "confusion", {}).get(split)
    if confusion is not None and trainer.is_global_zero:
        with disk.naming(folder.path / f"confusion_{split}.csv and .png", resume=resume):
            write_confusion(folder.path, split, confusion, _names(data, len(confusion)))


def _names(data: LightningDataModule, count: int) -> list[str]:
    return list(getattr(data, "class_names", None) or map(str, range(count)))


def load_weights(model: LightningModule, path: str) -> None:
    """Load the weights of a checkpoint, or of a run folder's best, into ``model``.

    Raises:
        ConfigError: no such file, not a checkpoint, or weights of another shape.
    """
    file = checkpoint_file(Path(path))
    try:
        checkpoint = checkpoints.read(file)
    except UserError as error:
        raise ConfigError(error.message, key="ckpt_path", fix=error.fix) from error
    except Exception as error:  # whatever a broken file makes a parser raise
        raise ConfigError(
            f"{file} is not a checkpoint that can be read ({type(error).__name__})", key="ckpt_path"
        ) from error
    weights: dict[str, Any] = checkpoint.get("state_dict", checkpoint)
    own = model.state_dict()
    for name, value in weights.items():
        if name in own and own[name].shape != value.shape:
            known = (
                f": the checkpoint knows {value.shape[0]} classes, the data {own[name].shape[0]}"
                if value.ndim and value.shape[1:] == own[name].shape[1:]
                else ": it is of another model"
            )
            raise ConfigError(
                f"{file} has {tuple(value.shape)} for {name}, this model {tuple(own[name].shape)}{known}",
                key="ckpt_path",
                fix=f"the data it was trained on, or {argv.word('model.weights', file)} to keep the backbone",
            )
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if missing or unexpected:
        raise ConfigError(
            f"{file} is of another model: {len(missing)} weights are missing, {len(unexpected)} unknown "
            f"({', '.join([*missing, *unexpected][:3])}, ...)",
            key="ckpt_path",
            fix="the model options with which it was trained",
        )


# what decides which images are in the test split
_SPLIT_KEYS = (
    *("data._target_", "data.source", "data.root", "data.cache_uri", "data.split_seed"),
    *("data.splits.valid", "data.splits.test", "data.limit.test"),
)


def warn_of_other_data(cfg: DictConfig) -> None:
    """Say loudly when the images may be others than those that the run kept for its test.

    The run's config is beside the checkpoint, as Hydra left it; a file from elsewhere has none.
    """
    path = Path(cfg.ckpt_path)
    run = path if path.is_dir() else path.parent.parent
    file = run / ".hydra" / "config.yaml"
    if not file.is_file():
        return
    there = OmegaConf.load(file)
    pairs = [(key, OmegaConf.select(there, key), OmegaConf.select(cfg, key)) for key in _SPLIT_KEYS]
    other = [(key, before, now) for key, before, now in pairs if before != now]
    if not other:
        return
    said = ", ".join(f"{key} is {now} (the run: {before})" for key, before, now in other)
    log.warning(
        "%s: images that the run was trained on may be among those measured now. As the run had it: %s",
        said,
        " ".join(argv.word(key, before) for key, before, _ in other if before is not None),
    )


def checkpoint_file(path: Path) -> Path:
    """``path``, or the best checkpoint of the run folder that it is.

    Raises:
        ConfigError: the folder has none.
    """
    if path.is_dir():
        found = sorted((path / "checkpoints").glob("best-*.ckpt"))
        if not found:
            raise ConfigError(f"{path} holds no checkpoints/best-*.ckpt", key="ckpt_path")
        return found[-1]
    return path
