"""The LightningModule: an image classifier that is fine-tuned as a whole or by its head."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torchmetrics.classification import MulticlassConfusionMatrix

from sweepmaker.config.errors import ConfigError
from sweepmaker.metrics.classification import EpochScores
from sweepmaker.models.networks import head_names, only_image_size, reset_heads
from sweepmaker.models.optimization import INTERVALS, build_optimizer, build_schedule
from sweepmaker.models.weights import initialised_network


class Classifier(LightningModule):
    """Any torchvision or timm classifier with a head for the data's classes.

    Logs once an epoch ``<split>/loss``, ``/top1``, ``/top5``, ``/f1`` for train, valid and test,
    and ``lr``. ``train/loss`` is what is minimised; the others have no label smoothing, so that
    runs with different smoothing can be compared.

    Args:
        name: the network's name in its library.
        library: ``torchvision`` or ``timm``.
        num_classes: number of classes C; the runner passes what the data has.
        weights: ``auto``, ``none``, ``pretrained``, a torchvision weights name,
            ``efficientnet-lite2``, or a path (see ``sweepmaker.models.weights``).
        weights_timeout_s: how long ``auto`` and published weights wait for the network, seconds.
        finetune: ``full``, or ``head``: only the last layer trains, everything before it is frozen
            and stays in eval mode (no dropout either: an image always has the same features).
        dropout: rate before the head, in [0, 1); None keeps the network's own.
        label_smoothing: share of the target that is spread over all classes, in [0, 1].
        optimizer: takes parameter groups, returns an optimizer.
        scheduler: takes the optimizer, returns a schedule; None for a constant learning rate.
        scheduler_interval: ``auto``, ``step`` or ``epoch`` (see ``build_schedule``).

    Attributes:
        head_names: names of the layers that make the logits.
        head_only: only they train.
        network: the module whose ``state_dict`` is the model artifact.
        weights_: what really initialised the network, as run.json's ``weights`` holds it.
        channels_last: images are brought into that memory layout first; set after building.
        confusion: the last computed confusion matrix of ``valid`` and ``test``: int64 [C, C] on the
            CPU, rows are labels, columns predictions.

    Raises:
        ConfigError: a setting is wrong, or weights that were asked for can't be had.
    """

    def __init__(
        self,
        *,
        name: str,
        num_classes: int,
        optimizer: functools.partial[Optimizer],
        scheduler: functools.partial[Any] | None = None,
        library: str = "torchvision",
        weights: str | None = "auto",
        weights_timeout_s: float = 10.0,
        finetune: str = "full",
        dropout: float | None = None,
        label_smoothing: float = 0.0,
        scheduler_interval: str = "auto",
    ) -> None:
        super().__init__()
        _check_settings(num_classes, finetune, dropout, label_smoothing, scheduler_interval)
        self._architecture = {
            "library": library,
            "name": name,
            "num_classes": num_classes,
            "dropout": dropout,
        }
        self.network, self.weights_ = initialised_network(
            self._architecture, weights, timeout_s=weights_timeout_s
        )
        self.head_names = head_names(self.network)
        self._image_size = only_image_size(self.network)
        self.head_only = finetune == "head"
        self._optimizer = optimizer
        self._scheduler = scheduler
        self._scheduler_interval = scheduler_interval
        self.label_smoothing = label_smoothing
        self.channels_last = False
        self.train_scores = EpochScores(num_classes)
        self.valid_scores = EpochScores(num_classes)
        self.test_scores = EpochScores(num_classes)
        self.valid_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.test_confusion = MulticlassConfusionMatrix(num_classes, validate_args=False)
        self.confusion: dict[str, Tensor] = {}
        if self.weights_.get("head", "new" if finetune == "head" else "kept") == "new":
            reset_heads(self.network, self.head_names)
        if self.head_only:
            self.network.requires_grad_(False)
            for head in self.heads():
                head.requires_grad_(True)
            self.train()  # Lightning starts training in the mode that it finds

    @staticmethod
    def arguments_before_checkpoint(settings: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments to change where a checkpoint replaces every weight at once: nothing is fetched.

        Args:
            settings: the other arguments.
        """
        vit = settings.get("library") == "torchvision" and str(settings.get("name")).startswith("vit_")
        # the shape of these follows from their weights: some were published for images of another size
        return {} if vit else {"weights": "none"}

    def architecture(self) -> dict[str, Any]:
        """What ``build_network`` needs to build the same network again."""
        return dict(self._architecture)

    def heads(self) -> list[nn.Module]:
        """The layers that make the logits; all that trains with ``finetune=head``."""
        return [self.network.get_submodule(name) for name in self.head_names]

    def forward(self, images: Tensor) -> Tensor:
        """Logits [B, C] of normalised float images [B, 3, H, W], or of their features [B, D].

        Raises:
            ConfigError: the network takes one image size only, and it is another one.
        """
        if images.ndim == 2:  # of a frozen backbone, computed before: see sweepmaker.run.features
            return self.heads()[0](images)  # type: ignore[no-any-return]
        if self._image_size not in (None, images.shape[-1]):
            raise ConfigError(
                f"{self._architecture['name']} takes {self._image_size} px, got {images.shape[-1]}",
                key="image_size",
                allowed=f"{self._image_size} with this network",
                fix=f"image_size={self._image_size}",
            )
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.network(images)
        return logits

    def train(self, mode: bool = True) -> Classifier:
        """As ever, except that a frozen backbone stays in eval mode."""
        super().train(mode)
        if self.head_only:
            self.network.eval()
            for head in self.heads():
                head.train(mode)
        return self

    def on_fit_start(self) -> None:
        """Keep Lightning from warning of the eval mode that a frozen backbone is meant to be in."""
        if self.head_only:
            warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch (images [B, 3, H, W], labels int64 [B])."""
        images, labels = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        self.train_scores.update(logits, labels, loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Score one validation batch."""
        self._score(batch, self.valid_scores, self.valid_confusion)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Score one test batch; its logits [B, C] are for callbacks."""
        return self._score(batch, self.test_scores, self.test_confusion)

    def on_train_epoch_end(self) -> None:
        """Log the training scores and the learning rate as it is now."""
        self._log_scores("train", self.train_scores)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Log the validation scores and keep the confusion matrix."""
        self._log_scores("valid", self.valid_scores)
        self._keep_confusion("valid", self.valid_confusion)

    def on_test_epoch_end(self) -> None:
        """Log the test scores and keep the confusion matrix."""
        self._log_scores("test", self.test_scores)
        self._keep_confusion("test", self.test_confusion)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The configured optimizer over what trains, and its schedule."""
        optimizer = build_optimizer(self._optimizer, self.network.parameters())
        if self._scheduler is None:
            return optimizer
        schedule = build_schedule(self._scheduler, optimizer, self.trainer, self._scheduler_interval)
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]

    def _score(
        self,
        batch: tuple[Tensor, Tensor],
        scores: EpochScores,
        confusion: MulticlassConfusionMatrix,
    ) -> Tensor:
        images, labels = batch
        logits: Tensor = self(images)
        scores.update(logits, labels, functional.cross_entropy(logits, labels))
        confusion.update(logits, labels)
        return logits

    def _log_scores(self, split: str, scores: EpochScores) -> None:
        # Every process has the same values (torchmetrics sums over them first); sync_dist only
        # tells Lightning so.
        values = {f"{split}/{name}": value for name, value in scores.compute().items()}
        self.log_dict(values, sync_dist=True)
        scores.reset()

    def _keep_confusion(self, split: str, matrix: MulticlassConfusionMatrix) -> None:
        self.confusion[split] = matrix.compute().cpu()
        matrix.reset()


def _check_settings(
    num_classes: int, finetune: str, dropout: float | None, smoothing: float, interval: str
) -> None:
    if num_classes < 2:
        raise ConfigError(f"a classifier needs at least 2 classes, got {num_classes}", key="data")
    if finetune not in ("full", "head"):
        raise ConfigError(f"{finetune!r}", key="model.finetune", allowed="full or head")
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
    if interval not in INTERVALS:
        raise ConfigError(f"{interval!r}", key="model.scheduler_interval", allowed=" or ".join(INTERVALS))
