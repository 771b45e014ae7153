"""The classifier's settings, checked: an impossible value is one clear ConfigError."""

from __future__ import annotations

from lightning.pytorch import Trainer

from sweepmaker.config.errors import ConfigError
from sweepmaker.models.freezing import MODES
from sweepmaker.models.optimization import INTERVALS


def check_settings(
    *,
    num_classes: int,
    finetune: str,
    dropout: float | None,
    smoothing: float,
    backbone_lr: float,
    head_epochs: int,
    mixup: float,
    cutmix: float,
    interval: str,
) -> None:
    """See ``Classifier`` for what each of them means.

    Raises:
        ConfigError: a value is out of its range, or two of them exclude each other.
    """
    if num_classes < 2:
        raise ConfigError(f"a classifier needs at least 2 classes, got {num_classes}", key="data")
    if finetune not in MODES:
        raise ConfigError(f"{finetune!r}", key="model.finetune", allowed=" | ".join(MODES))
    if dropout is not None and not 0 <= dropout < 1:
        raise ConfigError(f"{dropout}", key="model.dropout", allowed="null, or 0 <= rate < 1")
    if dropout is not None and finetune == "head":
        raise ConfigError(
            "with finetune=head everything before the head is in eval mode, dropout too",
            key="model.dropout",
            allowed="null with model.finetune=head",
            fix="model.dropout=null, and optimizer.weight_decay against overfitting",
        )
    if not 0 <= smoothing <= 1:
        raise ConfigError(f"{smoothing}", key="model.label_smoothing", allowed="0 to 1")
    if not 0 < backbone_lr <= 1:
        raise ConfigError(f"{backbone_lr}", key="model.backbone_lr", allowed="above 0, at most 1")
    if head_epochs < 1:
        raise ConfigError(f"{head_epochs}", key="model.head_epochs", allowed="an integer >= 1")
    for key, alpha in (("model.mixup", mixup), ("model.cutmix", cutmix)):
        if alpha < 0:
            raise ConfigError(f"{alpha}", key=key, allowed="a number >= 0; 0: off")
    if interval not in INTERVALS:
        raise ConfigError(f"{interval!r}", key="model.scheduler_interval", allowed=" or ".join(INTERVALS))


def check_gradual(trainer: Trainer, head_epochs: int) -> None:
    """Whether a run can begin with ``head_epochs`` epochs of the head alone.

    Raises:
        ConfigError: that is the whole run, or several processes train together.
    """
    epochs = trainer.max_epochs
    if epochs is not None and 0 <= epochs <= head_epochs and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise ConfigError(
            f"{head_epochs} of {epochs} epochs leave none for the backbone",
            key="model.head_epochs",
            allowed="less than epochs, with model.finetune=gradual",
            fix=f"epochs={head_epochs + 1}, or model.finetune=head",
        )
    if trainer.world_size > 1:
        # DDP synchronises what has gradients when it starts, and the backbone has none then
        raise ConfigError(
            "gradual trains in one process",
            key="model.finetune",
            allowed="full | head | blocks with several devices",
            fix="trainer.devices=1",
        )
