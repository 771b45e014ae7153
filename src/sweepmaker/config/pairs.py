"""Training settings that exclude each other, said before any work: in a sweep each trial would find out."""

from __future__ import annotations

from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from sweepmaker.config.errors import ConfigError


def check(cfg: DictConfig) -> None:
    """Raises ConfigError for two settings of our own model and data that don't go together."""
    if not (_is_ours(cfg, "model") and _is_ours(cfg, "data")):
        return
    finetune = OmegaConf.select(cfg, "model.finetune")
    if finetune == "head" and OmegaConf.select(cfg, "model.dropout") is not None:
        raise ConfigError(
            "with finetune=head everything before the head is in eval mode, dropout too",
            key="model.dropout",
            allowed="null with model.finetune=head",
            fix="model.dropout=null, and optimizer.weight_decay against overfitting",
        )
    if finetune == "gradual" and cfg.train:
        _gradual(cfg)
    if OmegaConf.select(cfg, "data.views"):
        _views(cfg, finetune)


def _is_ours(cfg: DictConfig, node: str) -> bool:
    """A class of the user's own may give a name another meaning."""
    return str(OmegaConf.select(cfg, f"{node}._target_", default="sweepmaker")).startswith("sweepmaker")


def _gradual(cfg: DictConfig) -> None:
    epochs, alone = OmegaConf.select(cfg, "trainer.max_epochs"), OmegaConf.select(cfg, "model.head_epochs")
    if isinstance(epochs, int) and isinstance(alone, int) and 0 <= epochs <= alone:
        raise ConfigError(
            f"{alone} of {epochs} epochs leave none for the backbone",
            key="model.head_epochs",
            allowed="less than epochs, with model.finetune=gradual",
            fix=f"epochs={alone + 1}, or model.finetune=head",
        )
    devices: Any = OmegaConf.select(cfg, "trainer.devices")
    if isinstance(devices, int) and devices > 1:
        raise ConfigError(
            "gradual trains in one process",
            key="model.finetune",
            allowed="full | head | blocks with several devices",
            fix="trainer.devices=1",
        )


def _views(cfg: DictConfig, finetune: Any) -> None:
    if finetune is not None and finetune != "head":
        raise ConfigError(
            f"views are of features that are cached, and with finetune={finetune} there are none",
            key="data.views",
            allowed="0 without model.finetune=head",
            fix="data.views=0, or model.finetune=head",
        )
    for key in ("model.mixup", "model.cutmix"):
        if OmegaConf.select(cfg, key):
            _refuse_views(cfg, key, "blends images anew in each epoch", fix=f"{key}=0")
    if OmegaConf.select(cfg, "data.cache") == "none":
        _refuse_views(cfg, "data.cache", "keeps none", fix="data.cache=auto")
    augment = OmegaConf.select(cfg, "data.augment")
    if augment is not None and not any(augment.values()):
        raise ConfigError(
            "without augmentation all views of an image are the same",
            key="data.views",
            allowed="0 without data.augment",
            fix="data.views=0",
        )


def _refuse_views(cfg: DictConfig, key: str, why: str, *, fix: str) -> NoReturn:
    setting = f"{key}={OmegaConf.select(cfg, key)}"
    raise ConfigError(
        f"views are of features that are cached, and {setting} {why}",
        key="data.views",
        allowed=f"0 with {setting}",
        fix=f"data.views=0, or {fix}",
    )
